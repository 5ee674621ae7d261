"""`shim brake`: take everyone back to `shadow`, or let everyone follow the flags (R22: docs/design.md#r22)."""

import json
from datetime import UTC, datetime
from typing import Any

import click

from shim.cli.common import QUARANTINED, input_errors, json_option
from shim.cli.ledger_option import ledger_option
from shim.cli.remote import Remote, url_option
from shim.ledger import read_ledger
from shim.ledger.rows import BrakeRow
from shim.model import seconds
from shim.settings import LedgerUrl

_reason = click.option("--reason", required=True, help="The reason; it is kept in the ledger.")
_HISTORY = 20


@click.group()
def brake() -> None:
    """Engage, release or show the brake of a running shim."""


@brake.command()
@_reason
@url_option
@json_option
@input_errors
def engage(reason: str, url: str, as_json: bool) -> None:
    """Take everyone at `live` or `complete` back to `shadow`, without a disconnect."""
    _order(url, reason, engaged=True, as_json=as_json)


@brake.command()
@_reason
@url_option
@json_option
@input_errors
def release(reason: str, url: str, as_json: bool) -> None:
    """Move everyone to the stage in the flags file. The brake never releases itself."""
    _order(url, reason, engaged=False, as_json=as_json)


@brake.command()
@ledger_option("Read this ledger, instead of asking a running shim.")
@url_option
@json_option
@input_errors
def status(ledger: LedgerUrl | None, url: str, as_json: bool) -> None:
    """Print whether the brake is engaged, since when, and why."""
    answer = Remote(url).get("/api/brake") if ledger is None else _from_ledger(ledger)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show(answer)


def _order(url: str, reason: str, *, engaged: bool, as_json: bool) -> None:
    answer = Remote(url).post("/api/brake", {"engaged": engaged, "reason": reason})
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _show(answer)


def _from_ledger(ledger: LedgerUrl) -> dict[str, Any]:
    rows = read_ledger(ledger).rows(BrakeRow, limit=_HISTORY)
    history = [
        {"engaged": row.engaged, "reason": row.reason, "at": seconds(row.at)} for row in rows
    ]
    engaged = bool(rows) and rows[0].engaged
    return {
        "engaged": engaged,
        "reason": rows[0].reason if engaged else None,
        "quarantined": None,  # only a running shim knows
        "history": history,
    }


def _show(answer: dict[str, Any]) -> None:
    if answer["engaged"]:
        click.secho(f"engaged: {answer['reason']}", fg="red", bold=True)
    else:
        click.secho("released", fg="green")
    if answer["quarantined"]:
        click.secho(QUARANTINED, fg="red", bold=True)
    for event in answer["history"] or ():
        at = datetime.fromtimestamp(event["at"], UTC).astimezone()
        word = "engaged " if event["engaged"] else "released"
        click.echo(f"  {at:%Y-%m-%d %H:%M:%S}  {word}  {event['reason']}")
