"""`shim codes`: which close codes bring which clients back."""

from collections.abc import Iterator, Sequence

import click
from rich.table import Table
from rich.text import Text

from shim.cli.common import json_option
from shim.cli.terminal import console_for, print_json
from shim.clients.client_returns import ENDINGS, ClientReturns, Delay, Ending, known_clients
from shim.clients.ending_effect import EndingEffect, codes_for_all, effect_of
from shim.settings.faults import suggestion

_WIDE = 150
"""Columns where the output is no terminal."""

_TITLES = {"none": "no code", "1006": "abort"}
_APPLICATION_CODES = range(3000, 5000)


def _read_client(name: str) -> ClientReturns:
    known = known_clients()
    if name not in known:
        raise click.BadParameter(
            f"{name!r} is not among the clients that were measured{suggestion(name, known)}; "
            "`shim codes` lists them"
        )
    return known[name]


def _read_ending(text: str) -> Ending:
    if text in ENDINGS or (text.isdecimal() and int(text) in _APPLICATION_CODES):
        return text
    raise click.BadParameter(
        f"{text!r} was not measured: {', '.join(ENDINGS)}, or a code from 3000 to 4999"
    )


@click.command()
@click.option(
    "--client",
    "clients",
    multiple=True,
    type=_read_client,
    metavar="NAME",
    help="A client of yours; may be given several times. Without it the command shows all clients.",
)
@click.option(
    "--code",
    "endings",
    multiple=True,
    type=_read_ending,
    metavar="CODE",
    help="Show only this ending: a close code, `none` or 1006; may be given several times.",
)
@json_option
def codes(clients: tuple[ClientReturns, ...], endings: tuple[Ending, ...], as_json: bool) -> None:
    """Show which clients come back after which close code, and how soon.

    The figures were measured with the real clients: the seconds from the close until the earliest and the
    latest of ten clients was connected again. "no code" is a close frame without a code; "abort" is a
    connection that ends without a close frame, which clients see as 1006.

    With --client the table says for each code whether all these clients come back. Clients that come back
    "in one breath" return together if they are closed together, so mass closing has to be paced. Exit code
    0: at least one close code brings all of them back; 1: none does.
    """
    chosen = [*({client.name: client for client in clients} or known_clients()).values()]
    endings = tuple(dict.fromkeys(endings)) or ENDINGS
    effects = [effect_of(ending, chosen) for ending in endings]
    good = codes_for_all(chosen)
    if as_json:
        print_json(
            {
                "clients": [client.as_dict(endings) for client in chosen],
                "codes": [effect.as_dict() for effect in effects],
                "good": list(good),
            }
        )
    else:
        console = console_for(width=_WIDE)
        console.print(_by_client(chosen, endings))
        if clients:
            console.print()
            console.print(_by_code(effects))
            console.print()
            for line in _advice(chosen, good):
                console.print(line)
    if clients and not good:
        raise SystemExit(1)


def _by_client(clients: Sequence[ClientReturns], endings: Sequence[Ending]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("client", no_wrap=True)
    table.add_column("version", no_wrap=True)
    for ending in endings:
        table.add_column(_TITLES.get(ending, ending), justify="right", no_wrap=True)
    for client in clients:
        delays = (_delay(client.delay(ending)) for ending in endings)
        table.add_row(client.name, client.version, *delays)
    return table


def _delay(delay: Delay | None) -> Text:
    return Text("away", style="red") if delay is None else Text(delay.format_delay())


def _by_code(effects: Sequence[EndingEffect]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("code", "all back within", "in one breath", "stay away"):
        table.add_column(title, no_wrap=title != "stay away")
    for effect in effects:
        within = effect.back_within
        table.add_row(
            _TITLES.get(effect.ending, effect.ending),
            Text(f"{within:.1f} s", style="green")
            if effect.brings_all_back and within is not None
            else Text("not all", style="red"),
            ", ".join(effect.in_one_breath),
            ", ".join(effect.stay_away),
        )
    return table


def _advice(clients: Sequence[ClientReturns], good: Sequence[Ending]) -> Iterator[Text]:
    never = [client.name for client in clients if not client.reconnects]
    if never:
        yield Text(f"never come back by themselves: {', '.join(never)}", style="yellow")
    if good:
        which = "all others" if never else "all"
        yield Text(f"close codes that bring {which} back: {', '.join(good)}", style="green")
    else:
        yield Text("no close code brings all of them back", style="red")
