"""`shim brake`: take everyone back to `shadow`, or let everyone follow the flags (R22: docs/design.md#r22)."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import click

from shim.cli.common import QUARANTINED, input_errors, json_option
from shim.cli.ledger_option import ledger_option
from shim.cli.remote import Remote, url_option
from shim.cli.terminal import echo, print_json
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
    if ledger is None:
        _show(*Remote(url).get("/api/brake", _read), as_json)
        return
    with closing(read_ledger(ledger)) as reader:
        rows = reader.rows(BrakeRow, limit=_HISTORY)
    engaged = bool(rows) and rows[0].engaged
    answer = {
        "engaged": engaged,
        "reason": rows[0].reason if engaged else None,
        "quarantined": None,  # only a running shim knows
        "history": [
            {"engaged": row.engaged, "reason": row.reason, "at": seconds(row.at)} for row in rows
        ],
    }
    _show(*_read(answer), as_json)


def _order(url: str, reason: str, *, engaged: bool, as_json: bool) -> None:
    order = {"engaged": engaged, "reason": reason}
    _show(*Remote(url).post("/api/brake", _read, order), as_json)


def _read(answer: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    """The answer of the API, and its lines for people, each with its style."""
    lines: list[tuple[str, dict[str, Any]]] = []
    if answer["engaged"]:
        lines.append((f"engaged: {answer['reason']}", {"fg": "red", "bold": True}))
    else:
        lines.append(("released", {"fg": "green"}))
    if answer["quarantined"]:
        lines.append((QUARANTINED, {"fg": "red", "bold": True}))
    for event in answer["history"] or ():
        at = datetime.fromtimestamp(event["at"], UTC).astimezone()
        word = "engaged " if event["engaged"] else "released"
        lines.append((f"  {at:%Y-%m-%d %H:%M:%S}  {word}  {event['reason']}", {}))
    return answer, lines


def _show(answer: dict[str, Any], lines: list[tuple[str, dict[str, Any]]], as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for text, style in lines:
        echo(text, **style)
