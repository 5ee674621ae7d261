"""The dashboard's content: one reading of the ledger and one answer of the gate for all viewers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from shim.console.api.responses import ApiError
from shim.console.ledger_queries import SHARED, LedgerQueries
from shim.console.operations import Operations
from shim.console.pages.dashboard_figures import (
    PERIODS,
    DashboardFigures,
    default_period,
    read_figures,
)
from shim.gate import GateAnswer
from shim.ledger import LedgerReader
from shim.model import SECOND, Duration, Time

_FIGURES_LAST: Duration = 2 * SECOND
_GATE_LASTS: Duration = 30 * SECOND
_AT_MOST = 10
"""An answer that took long is kept longer, so that a tenth of the time is spent on asking."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DashboardContent:
    """`figures` and `gate` are None where they cannot be had; `trouble` and `gate_trouble` say why."""

    period: str
    figures: DashboardFigures | None
    trouble: str | None
    gate: GateAnswer | None
    gate_trouble: str | None


class _Fresh(Generic[T]):
    """An answer that is asked for again when it is older than `lasts`; all viewers wait for the same answer."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], lasts: Duration, clock: Callable[[], Time]
    ) -> None:
        self._ask = ask
        self._lasts = lasts
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until: Time | None = None
        self._answer: T | None = None
        self._trouble: str | None = None

    async def get(self) -> tuple[T | None, str | None]:
        """The answer, or the reason why there is no answer."""
        async with self._lock:
            if self._until is None or self._clock() >= self._until:
                began = self._clock()
                try:
                    self._answer, self._trouble = await self._ask(), None
                except ApiError as error:
                    self._answer, self._trouble = None, error.detail
                now = self._clock()
                self._until = now + max(self._lasts, _AT_MOST * (now - began))
            return self._answer, self._trouble


class Dashboards:
    def __init__(self, operations: Operations, queries: LedgerQueries) -> None:
        clock, self._queries = operations.shim.clock, queries
        self._wall = operations.shim.wall
        self._settings = operations.shim.settings
        self._figures = {name: _Fresh(self._asking(name), _FIGURES_LAST, clock) for name in PERIODS}
        self._gate = _Fresh(lambda: queries.gate(SHARED), _GATE_LASTS, clock)
        self._default = _Fresh(self._ask_default, _GATE_LASTS, clock)

    async def content(self, period: str | None) -> DashboardContent:
        if period is None:
            period = (await self._default.get())[0] or "24h"
        seen, trouble = await self._figures[period].get()
        gate, gate_trouble = await self._gate.get()
        return DashboardContent(period, seen, trouble, gate, gate_trouble)

    def _asking(self, period: str) -> Callable[[], Awaitable[DashboardFigures]]:
        def look(ledger: LedgerReader) -> DashboardFigures:
            now = self._wall()
            return read_figures(ledger, self._settings, now - PERIODS[period], now)

        return lambda: self._queries.ask(SHARED, look)

    async def _ask_default(self) -> str:
        return await self._queries.ask(SHARED, lambda ledger: default_period(ledger, self._wall()))
