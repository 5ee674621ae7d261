"""The report: of a process that runs alone, or of the fleet with the process that answers (R27).

Rules: docs/design.md#r27.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from shim.console.access.access import Visitor
from shim.console.api.report_answer import OpenConnections, ProcessReport
from shim.console.api.schemas import stage_word
from shim.console.fleet_reading import FleetReading
from shim.console.fresh_answer import FreshAnswer
from shim.console.ledger_queries import SHARED, LedgerQueries
from shim.console.operations import Operations
from shim.ledger.completeness import (
    Completeness,
    completeness_as_dict,
    describe_completeness,
)
from shim.ledger.fleet_record import FleetRecord, is_silent
from shim.ledger.protocols import LedgerReader
from shim.ledger.report_figures import DEFAULT_PERIOD, PERIODS, ReportFigures, read_report
from shim.ledger.rows import Wall
from shim.model import SECOND, Duration, Kind, Stage, seconds

_LASTS: Duration = 2 * SECOND
_PATIENCE = 3.0
"""Seconds: what a process knows of itself does not wait longer for the store."""


class _PeriodReport(NamedTuple):
    """The figures, and how far the record of the fleet went before they were read (None: there is no fleet)."""

    since: Wall
    until: Wall
    figures: ReportFigures
    record: Completeness | None


class ReportReading:
    """The reports of all periods. Visitors who ask for the same period share one reading of the ledger."""

    def __init__(self, operations: Operations, queries: LedgerQueries, fleet: FleetReading) -> None:
        self._operations = operations
        self._queries = queries
        self._fleet = fleet
        self._in_fleet = operations.shim.settings.in_fleet
        clock = operations.shim.clock
        self._periods = {name: FreshAnswer(self._asking(name), _LASTS, clock) for name in PERIODS}

    async def get(self, visitor: Visitor, period: str | None) -> dict[str, Any]:
        """`ReportAnswer` for this visitor, as plain values."""
        process = self._operations.report(visitor)
        answer = msgspec.structs.asdict(process)
        del answer["name"]
        answer |= {"process": None, "trouble": None, "record": None}
        if period is None and not self._in_fleet:
            return answer
        (found, trouble), (fleet, _) = await asyncio.gather(
            self._periods[period or DEFAULT_PERIOD].get_within(_PATIENCE),
            self._fleet.get_soon(),
        )
        if self._in_fleet:
            answer |= _of_fleet(fleet) | {"brake": process.brake, "process": process}
        counts = ("since", "until", *ReportFigures.__struct_fields__)
        answer |= dict.fromkeys(counts) | {"trouble": trouble}
        record = None if fleet is None else describe_completeness(fleet)
        if found is not None:
            period_in_seconds = {"since": seconds(found.since), "until": seconds(found.until)}
            answer |= found.figures.as_dict() | period_in_seconds
            record = found.record
        return answer | {"record": completeness_as_dict(record)}

    def _asking(self, period: str) -> Callable[[], Awaitable[_PeriodReport]]:
        def read(ledger: LedgerReader) -> _PeriodReport:
            record = describe_completeness(ledger.fleet())
            until = self._operations.assembly.time_of(ledger)
            since = until - PERIODS[period]
            return _PeriodReport(since, until, read_report(ledger, since, until), record)

        return lambda: self._queries.ask(SHARED, read)


def _of_fleet(fleet: FleetRecord | None) -> dict[str, Any]:
    """What the list of processes says (None: it is not known now); nothing of what only a process knows."""
    answer: dict[str, Any] = dict.fromkeys(ProcessReport.__struct_fields__)
    del answer["name"]
    return answer if fleet is None else answer | {"connections": count_connections(fleet)}


def count_connections(fleet: FleetRecord) -> OpenConnections:
    """The open connections of all processes, as each said last; one that is silent for a minute has none."""
    living = [one for one in fleet.processes if one.alive and not is_silent(fleet, one)]
    stages = {
        stage_word(stage): sum((one.connections or {}).get(str(stage), 0) for one in living)
        for stage in Stage
    }
    kinds = {kind: sum((one.kinds or {}).get(str(kind), 0) for one in living) for kind in Kind}
    return OpenConnections(open=sum(stages.values()), stages=stages, kinds=kinds)
