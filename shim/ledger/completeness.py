"""Up to when an answer about a fleet has everything: what every answer says of the record (R23).

Rules: docs/design.md#r23, docs/design.md#r27.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shim.ledger.fleet_record import FleetRecord, is_behind
from shim.ledger.json_record import JsonRecord
from shim.ledger.process_record import ProcessRecord
from shim.ledger.rows import Wall
from shim.model import seconds


class ProcessCompleteness(JsonRecord, frozen=True, kw_only=True):
    """How far the record of one process goes.

    Attributes:
        complete_until: until then all that it found out is in the store; None: nothing is yet.
        waiting: rows that it has not shipped, as it said last.
        behind: whether its record ends more than a minute ago.
        forgotten: whether somebody said that it will not come back: then its record ends there for good.
    """

    name: str
    complete_until: Wall | None
    waiting: int
    behind: bool
    forgotten: bool


class Completeness(JsonRecord, frozen=True, kw_only=True):
    """How far the record of a fleet goes, as of `now`; all times are by the store's clock.

    Attributes:
        complete_until: until then everything that the listed processes found out is in the store; None: of
            one of them there is nothing yet, or no process is listed.
        processes: those that are alive, those that have ended with rows to come, and those that were
            forgotten within a day.
    """

    now: Wall
    complete_until: Wall | None
    processes: list[ProcessCompleteness]


def describe_completeness(fleet: FleetRecord) -> Completeness | None:
    """None: there is no fleet."""
    if fleet.now is None:
        return None
    ends = [process.complete_until for process in fleet.processes]
    known = [end for end in ends if end is not None]
    return Completeness(
        now=fleet.now,
        complete_until=min(known, default=None) if len(known) == len(ends) else None,
        processes=[
            _describe(process, fleet.now) for process in (*fleet.processes, *fleet.forgotten)
        ],
    )


def completeness_as_dict(record: Completeness | None) -> dict[str, Any] | None:
    """The record in an answer that always says something of it; None: there is no fleet, or no answer."""
    return None if record is None else record.as_dict()


def with_record(answer: Mapping[str, Any], record: Completeness | None) -> dict[str, Any]:
    """An answer in JSON, with the record if there is a fleet."""
    return {**answer} if record is None else {**answer, "record": record.as_dict()}


def format_completeness(record: Completeness | None) -> list[str]:
    """A line about all processes, and one for each that is behind or was forgotten; none without a fleet."""
    if record is None:
        return []
    listed = [process for process in record.processes if not process.forgotten]
    behind = [process for process in record.processes if process.behind or process.forgotten]
    if not listed:
        return ["no process of the fleet is listed as alive", *map(_format_process, behind)]
    of = f"all {len(listed)} processes" if len(listed) > 1 else "the one process"
    end = record.complete_until
    whole = "is not known yet" if end is None else f"is complete until {format_time(end)}"
    return [f"the record of {of} {whole}", *map(_format_process, behind)]


def format_time(at: Wall) -> str:
    """Local time, to the second, with the zone."""
    return datetime.fromtimestamp(seconds(at)).astimezone().isoformat(" ", "seconds")


def _describe(process: ProcessRecord, now: Wall) -> ProcessCompleteness:
    forgotten = process.forgotten is not None
    return ProcessCompleteness(
        name=process.name,
        complete_until=process.complete_until,
        waiting=process.waiting,
        behind=not forgotten and is_behind(process, now),
        forgotten=forgotten,
    )


def _format_process(process: ProcessCompleteness) -> str:
    end = process.complete_until
    if process.forgotten:
        return f"the record of {process.name}, which was forgotten, " + (
            "is empty" if end is None else f"ends at {format_time(end)}"
        )
    waiting = f", {process.waiting} rows are to come" if process.waiting else ""
    if end is None:
        return f"the record of {process.name} has not begun{waiting}"
    return f"the record of {process.name} is complete until {format_time(end)}{waiting}"
