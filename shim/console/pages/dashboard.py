"""The dashboard's content: one reading of the ledger and one answer of the gate for all viewers."""

from collections.abc import Awaitable, Callable
from typing import Any

from shim.console.fleet_reading import FleetReading
from shim.console.fresh_answer import FreshAnswer
from shim.console.ledger_queries import SHARED, LedgerQueries
from shim.console.operations import Operations
from shim.console.pages.dashboard_figures import (
    DashboardFigures,
    default_period,
    read_figures,
)
from shim.console.report_reading import count_connections
from shim.ledger.completeness import describe_completeness
from shim.ledger.protocols import LedgerReader
from shim.ledger.report_figures import PERIODS
from shim.model import SECOND, Duration

_FIGURES_LAST: Duration = 2 * SECOND
_GATE_LASTS: Duration = 30 * SECOND


class Dashboards:
    """What the dashboard shows; visitors who come soon after each other share an answer."""

    def __init__(self, operations: Operations, queries: LedgerQueries, fleet: FleetReading) -> None:
        clock, self._queries, self._fleet = operations.shim.clock, queries, fleet
        self._time_of = operations.assembly.time_of
        self._settings = operations.shim.settings
        self._figures = {
            name: FreshAnswer(self._asking(name), _FIGURES_LAST, clock) for name in PERIODS
        }
        self._gate = FreshAnswer(lambda: queries.gate(SHARED), _GATE_LASTS, clock)
        self._default = FreshAnswer(self._ask_default, _GATE_LASTS, clock)

    async def facts(self, period: str | None) -> dict[str, Any]:
        """What the templates of the dashboard use.

        `figures` and `gate` are None where they cannot be had; `trouble` and `gate_trouble` say why.
        `record`: how far the record of the fleet goes, `connections`: the open ones of all processes; None:
        there is no fleet, or its store does not answer. `gate_record`: how far it went when the gate was asked.
        """
        if period is None:
            period = (await self._default.get())[0] or "24h"
        figures, trouble = await self._figures[period].get()
        gate, gate_trouble = await self._gate.get()
        fleet, _ = await self._fleet.get_soon()
        return {
            "period": period,
            "figures": figures,
            "trouble": trouble,
            "gate": gate and gate.answer,
            "gate_record": gate and gate.record,
            "gate_trouble": gate_trouble,
            "record": describe_completeness(fleet) if fleet else None,
            "connections": count_connections(fleet) if fleet and fleet.name else None,
        }

    def _asking(self, period: str) -> Callable[[], Awaitable[DashboardFigures]]:
        def look(ledger: LedgerReader) -> DashboardFigures:
            now = self._time_of(ledger)
            return read_figures(ledger, self._settings, now - PERIODS[period], now)

        return lambda: self._queries.ask(SHARED, look)

    async def _ask_default(self) -> str:
        return await self._queries.ask(
            SHARED, lambda ledger: default_period(ledger, self._time_of(ledger))
        )
