"""`python -m benchmarks.clients`: measures `shim/clients/measured.yaml` anew, with the real clients.

Whoever adds a client writes its row there (name, version, origin), a function with the name in
`node_clients.mjs` or `python_clients.py`, what its server has to say in `greetings.py`, if anything, and
runs `python -m benchmarks.clients --client NAME --write`.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

import shim.clients
from benchmarks.clients.measuring import Delays, MeasurementError, measure
from shim.clients.client_returns import ENDINGS, known_clients
from tests.sdk.packages import PackagesUnavailable

MEASURED = Path(shim.clients.__file__).with_name("measured.yaml")


@click.command()
@click.option("--client", "names", multiple=True, help="Measure only this client (repeatable).")
@click.option("--ending", "endings", multiple=True, help="Measure only this ending (repeatable).")
@click.option("--processes", default=10, show_default=True, help="How many of each client.")
@click.option("--wait", default=50.0, show_default=True, help="Seconds to wait for a return.")
@click.option("--write", is_flag=True, help="Write what was measured into the table of the shim.")
def main(
    names: tuple[str, ...], endings: tuple[str, ...], processes: int, wait: float, write: bool
) -> None:
    """Close the real clients in each way, and wait for them."""
    clients = [known_clients()[name] for name in names] or [*known_clients().values()]
    chosen = endings or ENDINGS
    try:
        delays = asyncio.run(measure(clients, chosen, processes, wait))
    except (PackagesUnavailable, MeasurementError) as error:
        raise click.ClickException(str(error)) from None
    table = Table("client", "version", *chosen, box=None)
    for client in clients:
        table.add_row(
            client.name,
            client.version,
            *(_format(delays[client.name, ending]) for ending in chosen),
        )
    Console(width=160, highlight=False).print(table)
    if write:
        _write(delays)


def _format(delays: list[float | None]) -> str:
    back = [delay for delay in delays if delay is not None]
    if not back:
        return "no"
    some = "" if len(back) == len(delays) else f" ({len(back)} of {len(delays)})"
    return f"{median(back):.1f} [{min(back):.1f}, {max(back):.1f}]{some}"


def _write(delays: Delays) -> None:
    """Put the figures into the file, and leave its comments and its other rows."""
    head, _, body = MEASURED.read_text(encoding="utf-8").partition("clients:\n")
    rows: list[dict[str, Any]] = yaml.safe_load("clients:\n" + body)["clients"]
    for row in rows:
        returns = {
            ending: _figures(one) for (name, ending), one in delays.items() if name == row["name"]
        }
        if returns:
            row["measured"] = datetime.now(UTC).date().isoformat()
            row["returns"] = row.get("returns", {}) | {
                ending if ending == "none" else int(ending): figures
                for ending, figures in returns.items()
            }
    MEASURED.write_text(head + _dump(rows), encoding="utf-8")


def _figures(delays: list[float | None]) -> list[float] | str:
    back = [round(delay, 1) for delay in delays if delay is not None]
    return [min(back), max(back)] if back else "never"


def _dump(rows: list[dict[str, Any]]) -> str:
    """The rows as YAML; each row's figures in one line."""
    text = "clients:\n"
    for row in rows:
        plain = {key: value for key, value in row.items() if key not in ("returns", "final")}
        lines = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100).splitlines()
        for key in ("final", "returns"):
            if key in row:
                flow = yaml.safe_dump(row[key], default_flow_style=True, sort_keys=False, width=400)
                lines.append(f"{key}: {flow.strip()}")
        text += "".join(
            f"  {'- ' if number == 0 else '  '}{line}\n" for number, line in enumerate(lines)
        )
    return text


if __name__ == "__main__":
    main()
