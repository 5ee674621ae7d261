"""`shim status`: the state of a running shim, once or live."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from shim.cli.common import QUARANTINED, input_errors, json_option, rough
from shim.cli.fleet_table import render_fleet
from shim.cli.gate import ANSWERS, read_answer
from shim.cli.ledger_option import ledger_option
from shim.cli.remote import Remote, url_option
from shim.cli.report import render_figures
from shim.cli.terminal import console_for, figures_table, plain, print_json
from shim.gate.trial_description import format_arms, format_trial
from shim.ledger.completeness import format_time
from shim.ledger.fleet_record import FleetRecord
from shim.ledger.protocols import LedgerReader
from shim.ledger.stores import read_ledger
from shim.model import InputError, Stage, from_seconds
from shim.model.ledger_url import LedgerUrl

_WIDE = 120
"""Columns where the output is no terminal."""

_GATE_LASTS = 30.0
"""Seconds after which the gate is asked again."""


@click.command()
@click.option("--watch", is_flag=True, help="Update the picture until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two updates.",
)
@ledger_option("Show the fleet of this store (postgresql://…), instead of asking a running shim.")
@url_option
@json_option
@input_errors
def status(watch: bool, interval: float, ledger: LedgerUrl | None, url: str, as_json: bool) -> None:
    """Show where the rollout is, whether the monitors agree, whether clients come back, and the fleet."""
    if ledger is not None:
        with closing(read_ledger(ledger)) as reader:
            if as_json:
                print_json(_fleet_of(reader).as_dict())
            else:
                _show(lambda: Group(*render_fleet(_fleet_of(reader))), interval if watch else None)
        return
    remote = Remote(url)
    if not as_json:
        _show(_Picture(remote).draw, interval if watch else None)
        return
    report, _ = _ask_report(remote)
    try:
        fleet = remote.get("/api/fleet", FleetRecord.from_dict)
    except InputError:
        print_json({**report, "fleet": None})
        return
    print_json(report if fleet.name is None else {**report, "fleet": fleet.as_dict()})


def _fleet_of(reader: LedgerReader) -> FleetRecord:
    """Raises InputError if the ledger is no fleet's store."""
    fleet = reader.fleet()
    if fleet.name is None:
        raise InputError(f"{reader.place}: this needs the store of a fleet, postgresql://…")
    return fleet


def _show(draw: Callable[[], Group], interval: float | None) -> None:
    """Print a picture; with an interval, in a terminal, draw it anew after so many seconds until Ctrl-C."""
    console, picture = console_for(width=_WIDE), draw()
    if interval is None or not console.is_terminal:
        console.print(picture)
        return
    try:
        with Live(picture, console=console, auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(interval)
                try:
                    live.update(draw(), refresh=True)
                except InputError as error:  # the shim may be restarting
                    live.update(plain(str(error), "bold red"), refresh=True)
    except KeyboardInterrupt:
        return


class _Picture:
    """The state of a running shim; its gate is asked less often than the rest."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._gate: Group | None = None
        self._asked_at = 0.0

    def draw(self) -> Group:
        _, report = _ask_report(self._remote)
        if self._gate is None or time.monotonic() > self._asked_at + _GATE_LASTS:
            self._gate, self._asked_at = _ask_gate(self._remote), time.monotonic()
        # A terminal may be too low for all: the fleet comes first.
        return Group(*_ask_fleet(self._remote), report, self._gate)


def _ask_fleet(remote: Remote) -> Iterator[RenderableType]:
    """The fleet; nothing about a shim that runs alone."""
    try:
        fleet = remote.get("/api/fleet", FleetRecord.from_dict)
    except InputError as error:
        yield Text.assemble(("fleet     ", "bold"), plain(f"no answer: {error}", "dim"))
        return
    if fleet.name is not None:
        yield from (*render_fleet(fleet), "")


def _ask_report(remote: Remote) -> tuple[dict[str, Any], Group]:
    """The report, and the same for people."""

    def read(report: dict[str, Any]) -> tuple[dict[str, Any], Group]:
        return report, _render(str(remote.url), report)

    return remote.get("/api/report", read)


def _ask_gate(remote: Remote) -> Group:
    """What the gate says of the trial and of its arms."""
    name = ("gate      ", "bold")
    try:
        answer = remote.get("/api/gate", read_answer)
    except InputError as error:
        return Group(Text.assemble(name, plain(f"no answer: {error}", "dim")))
    lines = [Text.assemble(name, ANSWERS[answer.verdict])]
    lines += [plain(f"          {line}", "dim") for line in format_trial(answer.inputs)]
    lines += [
        plain(f"          {line}", "bold red" if is_off else "dim")
        for line, is_off in format_arms(answer.conditions)
    ]
    return Group(*lines)


def _render(url: str, report: dict[str, Any]) -> Group:
    """The process that answers, and the figures, which in a fleet are those of all processes."""
    process = report.get("process") or report
    stages = figures_table("stage", "users", "connections")
    for stage in map(str, reversed(Stage)):
        users, connections = process["users"][stage], process["connections"]["stages"][stage]
        stages.add_row(stage, f"{users:,}", f"{connections:,}")
    return Group(*_headline(url, process), "", stages, "", *_figures(report), "")


def _figures(report: dict[str, Any]) -> Iterator[RenderableType]:
    if report.get("process") is None:
        yield from render_figures(report)
        return
    if report["trouble"] is not None:
        yield plain(f"the figures of the fleet are not known now: {report['trouble']}", "bold red")
        return
    since = format_time(from_seconds(report["since"]))
    yield plain(f"all processes together, since {since}", "bold")
    yield from render_figures(report)


def _headline(url: str, report: dict[str, Any]) -> Iterator[Text]:
    name = report.get("name")
    text = plain(f"{url}  ", "dim") if name is None else plain(f"{name}, at {url}  ", "bold")
    if report["brake"] is not None:
        text.append_text(plain(f"BRAKE: {report['brake']}", "bold white on red"))
    else:
        text.append("brake released", style="green")
    guard = report["guard"]
    if guard["holding"]:
        text.append(f"  GUARD holds {guard['held']} closes", style="bold white on red")
    yield text
    if report.get("clock"):
        yield plain(report["clock"], "bold red")
    if report["quarantined"]:
        yield Text(QUARANTINED, "bold red")
    if flags := report["flags"]:
        yield plain(f"flags {flags['digest'][:12]}, in force for {rough(flags['age'])}")
        if flags["problem"]:
            yield plain(f"the flags file is refused: {flags['problem']}", "bold red")
    ledger = report["ledger"]
    yield Text(f"ledger: {ledger['written']:,} rows, {ledger['queued']} waiting")
    if ledger["problem"]:
        yield plain(f"the ledger cannot be written: {ledger['problem']}", "bold red")
    if ledger["dropped"]:
        yield Text(f"{ledger['dropped']:,} rows were dropped", "bold red")
