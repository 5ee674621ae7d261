"""`shim connections`: the open connections of a running shim."""

from typing import Any

import click
from rich.table import Table

from shim.cli.common import input_errors, json_option, rough, word_option
from shim.cli.remote import Remote, url_option
from shim.cli.terminal import console_for, echo, print_json
from shim.model import Kind, Role, Stage


@click.command()
@click.option("--user", help="Show only connections of this user.")
@click.option("--package", help="Show only connections of this package.")
@word_option("--kind", Kind, "Show only connections of this kind.")
@word_option("--stage", Stage, "Show only connections at this stage.")
@word_option("--acting", Role, "Show only connections for which this monitor acts.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Show at most this many connections.",
)
@click.option("--cursor", help="Show the next page: the value that the last page printed.")
@url_option
@json_option
@input_errors
def connections(url: str, as_json: bool, **filters: Any) -> None:
    """List the open connections of a running shim, in the order in which they were opened."""
    answer, table = Remote(url).get("/api/connections", _read, **filters)
    if as_json:
        print_json(answer)
        return
    if process := answer.get("process"):
        echo(f"the connections of {process} alone; `shim status` counts those of all processes")
    if not answer["connections"]:
        echo("no connection matches")
        return
    console_for().print(table)
    if answer["next"]:
        echo(f"there are more; the next page: --cursor {answer['next']}")


def _read(answer: dict[str, Any]) -> tuple[dict[str, Any], Table]:
    """The answer of the API, and the table of its connections."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("connection", "who", "stage", "acting", "watched by"):
        table.add_column(name, overflow="fold")
    for name in ("connected", "silent"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in answer["connections"]:
        table.add_row(
            row["connection"],
            " ".join(filter(None, (row["user"], row["package"], row.get("instance")))),
            row["stage"],
            row["acting"] or "-",
            " ".join(row["watched_by"]),
            rough(row["connected"]),
            "closing" if row["closing"] else rough(row["silence"]),
        )
    return {**answer, "next": answer["next"]}, table
