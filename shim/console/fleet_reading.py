"""The fleet as the console shows it: one reading of the store for all who look (R27).

Rules: docs/design.md#r23, docs/design.md#r27.
"""

from shim.console.fresh_answer import FreshAnswer
from shim.console.ledger_queries import SHARED, LedgerQueries
from shim.console.operations import Operations
from shim.ledger.completeness import Completeness, describe_completeness
from shim.ledger.fleet_record import ALONE, FleetRecord
from shim.ledger.protocols import LedgerReader
from shim.ledger.time_limit import time_limit
from shim.model import SECOND, Duration

_LASTS: Duration = 2 * SECOND
_LONGEST = 5.0
_PATIENCE = 1.0
"""Seconds, both; the second one is how long figures of this process wait for what the store adds to them."""


class FleetReading:
    """The processes of the fleet, at most two seconds old; without a fleet nothing is asked.

    `last_known` is what the store told last, however long ago; None: it has told nothing yet.
    """

    def __init__(self, operations: Operations, queries: LedgerQueries) -> None:
        self._queries = queries
        self._in_fleet = operations.shim.settings.in_fleet
        self._fleet = FreshAnswer(self._ask, _LASTS, operations.shim.clock, rest=1)
        self.last_known: FleetRecord | None = None

    async def get(self) -> tuple[FleetRecord | None, str | None]:
        """The fleet (`ALONE`: there is no fleet), or the reason why the store does not tell."""
        return await self._fleet.get() if self._in_fleet else (ALONE, None)

    async def get_soon(self) -> tuple[FleetRecord | None, str | None]:
        """The same for a visitor who does not wait for a silent store."""
        return await self._fleet.get_within(_PATIENCE) if self._in_fleet else (ALONE, None)

    async def record(self) -> Completeness | None:
        """How far the record goes; None: there is no fleet, or the store does not answer soon."""
        fleet, _ = await self.get_soon()
        return None if fleet is None else describe_completeness(fleet)

    async def _ask(self) -> FleetRecord:
        self.last_known = await self._queries.ask(SHARED, _read_fleet)
        return self.last_known


def _read_fleet(ledger: LedgerReader) -> FleetRecord:
    with time_limit(_LONGEST):
        return ledger.fleet()
