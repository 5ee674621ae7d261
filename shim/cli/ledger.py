"""`shim ledger`: the store of a fleet: its tables, its rights, and single ledgers brought into it (R23).

Rules: docs/design.md#r23.
"""

from pathlib import Path

import click

from shim.cli.common import PATH, input_errors, json_option
from shim.cli.ledger_option import store_of, store_options
from shim.cli.terminal import echo, print_json
from shim.ledger.completeness import format_time
from shim.ledger.stores import fleet_store
from shim.model.ledger_url import LedgerUrl
from shim.model.time import seconds_or_none
from shim.rollout.changes import this_user

_url = click.argument("url", type=LedgerUrl)
_fleet = click.option(
    "--fleet", help="The fleet's name. Without it: the store's fleet, or `shim` for a new store."
)


@click.group()
def ledger() -> None:
    """Prepare the store of a fleet, bring ledgers of single processes into it, forget dead processes."""


@ledger.command()
@_url
@_fleet
@click.option(
    "--writer", multiple=True, metavar="ROLE", help="Let this role write, as the shims do."
)
@click.option(
    "--reader", multiple=True, metavar="ROLE", help="Let this role read, as `shim gate` does."
)
@input_errors
def init(
    url: LedgerUrl, fleet: str | None, writer: tuple[str, ...], reader: tuple[str, ...]
) -> None:
    """Make the tables of the store, or bring them up to date, and give rights to roles.

    The role in the URL owns the tables. The command may be repeated at any time.
    """
    name = fleet_store(url).prepare(fleet, writers=writer, readers=reader)
    echo(f"{url} is the store of the fleet {name}")


@ledger.command()
@click.argument("file", type=PATH)
@_url
@_fleet
@click.option("--process", help="The process that wrote FILE. Without it: the name of FILE.")
@json_option
@input_errors
def push(file: Path, url: LedgerUrl, fleet: str | None, process: str | None, as_json: bool) -> None:
    """Bring the SQLite ledger FILE into the store, as often as you like: each row gets there once.

    The process that writes FILE may go on meanwhile.
    """
    pushed = fleet_store(url).push_ledger(file, fleet=fleet, process=process)
    if as_json:
        print_json(pushed._asdict())
        return
    echo(f"{pushed.rows} new rows of {pushed.runs} runs are in {url}")
    if pushed.unnumbered:
        echo(
            f"{pushed.unnumbered} rows were left out: an older version wrote them, and they have no number"
        )


@ledger.command()
@click.argument("process")
@click.option("--reason", required=True, help="Why it will not come back; it is kept in the store.")
@store_options
@json_option
@input_errors
def forget(
    process: str, reason: str, config: Path | None, ledger: LedgerUrl | None, as_json: bool
) -> None:
    """Say that PROCESS of the fleet died and will not come back, and that its outbox is lost.

    Its record counts as ended, so that the gate waits for it no longer. If a client may have come back to
    it, that client's return is not known. If the process does come back, it is on the list again.
    """
    if not reason.strip():
        raise click.UsageError("--reason must not be empty")
    store, who = store_of(config, ledger), this_user()
    until = fleet_store(store).forget_process(process, who=who, reason=reason.strip())
    if as_json:
        print_json({"process": process, "who": who, "complete_until": seconds_or_none(until)})
        return
    end = "nothing of it is in the store" if until is None else f"it ends at {format_time(until)}"
    echo(f"the record of {process} counts as ended, by {who}: {end}")
