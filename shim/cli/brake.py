"""`shim brake`: take everyone back to `shadow`, or let everyone follow the flags (R22:
docs/design.md#r22); in a fleet, for all processes (R25: docs/design.md#r25)."""

from contextlib import closing
from typing import Any

import click

from shim.cli.common import QUARANTINED, format_local, input_errors, json_option
from shim.cli.ledger_option import ledger_option
from shim.cli.remote import Remote, read_record, url_option
from shim.cli.terminal import echo, print_json
from shim.ledger.completeness import (
    completeness_as_dict,
    describe_completeness,
    format_completeness,
)
from shim.ledger.stores import fleet_store, read_ledger
from shim.model import InputError, from_seconds
from shim.model.ledger_url import LedgerUrl
from shim.model.visible_text import LONGEST_REASON, SHORTEST_REASON, is_reason
from shim.rollout.changes import this_user

_reason = click.option(
    "--reason",
    required=True,
    help=f"The reason, {SHORTEST_REASON} to {LONGEST_REASON} characters in one line; the ledger keeps it.",
)
_store = ledger_option(
    "Give the order in the store of the fleet (postgresql://…), instead of asking a running shim."
)
_HISTORY = 20
"""The most orders that are shown as text; `--json` prints all."""

_Lines = list[tuple[str, dict[str, Any]]]
"""Lines for people, each with its style."""


@click.group()
def brake() -> None:
    """Engage, release or show the brake of a running shim, or of a fleet."""


@brake.command()
@_reason
@_store
@url_option
@json_option
@input_errors
def engage(reason: str, ledger: LedgerUrl | None, url: str, as_json: bool) -> None:
    """Take everyone at `live` or `complete` back to `shadow`, without a disconnect."""
    _show(*_order(ledger, url, reason, engaged=True), as_json)


@brake.command()
@_reason
@_store
@url_option
@json_option
@input_errors
def release(reason: str, ledger: LedgerUrl | None, url: str, as_json: bool) -> None:
    """Move everyone to the stage in the flags file. The brake never releases itself."""
    _show(*_order(ledger, url, reason, engaged=False), as_json)


@brake.command()
@ledger_option("Read this ledger, instead of asking a running shim.")
@url_option
@json_option
@input_errors
def status(ledger: LedgerUrl | None, url: str, as_json: bool) -> None:
    """Print whether the brake is engaged, since when, and why."""
    if ledger is None:
        _show(*Remote(url).get("/api/brake", _read), as_json)
    else:
        _show(*_read_ledger(ledger), as_json)


def _order(
    ledger: LedgerUrl | None, url: str, reason: str, *, engaged: bool
) -> tuple[dict[str, Any], _Lines]:
    """Give the order, in the store or at a running shim; how the brake stands then."""
    reason = reason.strip()
    if not is_reason(reason):
        raise InputError(
            f"--reason: must be {SHORTEST_REASON} to {LONGEST_REASON} characters, in one line"
        )
    if ledger is None:
        return Remote(url).post("/api/brake", _read, {"engaged": engaged, "reason": reason})
    fleet_store(ledger).order_brake(engaged=engaged, reason=reason, who=this_user())
    return _read_ledger(ledger)


def _read_ledger(ledger: LedgerUrl) -> tuple[dict[str, Any], _Lines]:
    """How the brake stands by a ledger: in a fleet, by the orders that were given in its store."""
    # The import takes a while, and a running shim answers without it.
    from shim.ledger.brake_record import read_brake_history

    with closing(read_ledger(ledger)) as reader:
        record = describe_completeness(reader.fleet())
        history = read_brake_history(reader)
    engaged = bool(history) and history[0].engaged
    answer = {
        "engaged": engaged,
        "reason": history[0].reason if engaged else None,
        "quarantined": None,  # only a running shim knows
        "history": [order.as_dict() for order in history],
        "record": completeness_as_dict(record),
    }
    return _read(answer)


def _read(answer: dict[str, Any]) -> tuple[dict[str, Any], _Lines]:
    """An answer in the form of the API, and its lines for people."""
    lines: _Lines = []
    if answer["engaged"]:
        lines.append((f"engaged: {answer['reason']}", {"fg": "red", "bold": True}))
    else:
        lines.append(("released", {"fg": "green"}))
    if answer["quarantined"]:
        lines.append((QUARANTINED, {"fg": "red", "bold": True}))
    for event in (answer["history"] or ())[:_HISTORY]:
        at = format_local(from_seconds(event["at"]))
        by = f" ({event['process']})" if event.get("process") else ""
        word = "engaged " if event["engaged"] else "released"
        lines.append((f"  {at}  {word}  {event['reason']}{by}", {}))
    lines += [(line, {}) for line in format_completeness(read_record(answer))]
    return answer, lines


def _show(answer: dict[str, Any], lines: _Lines, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    for text, style in lines:
        echo(text, **style)
