"""The console's questions to the ledger: in threads, few at a time; a failure becomes an API error.

Everybody's questions have places of their own, so that slow questions of viewers delay no operator, and
neither delay the dashboard.
"""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final, NamedTuple, TypeVar

from shim.console.access.access import Visitor
from shim.console.access.login_sessions import AccessLevel
from shim.console.access.places import Places
from shim.console.access.redaction import Pseudonymizer
from shim.console.api.filters import OutcomesQuery, VerdictsQuery, wall
from shim.console.api.responses import ApiError, unavailable
from shim.console.operations import Operations
from shim.gate.answer import GateAnswer
from shim.ledger.brake_record import read_brake_history
from shim.ledger.completeness import Completeness, describe_completeness
from shim.ledger.fleet_record import FleetOrder
from shim.ledger.protocols import LedgerReader, Page, VerdictFilter
from shim.ledger.rows import ActionRow, Wall
from shim.ledger.time_limit import time_limit
from shim.model import InputError, Time

T = TypeVar("T")

SHARED: Final = None
"""Stands for all visitors, where they share an answer."""

_PLACES = {AccessLevel.VIEWER: 1, AccessLevel.OPERATOR: 1, SHARED: 2}
"""Questions at a time: more threads would delay the event loop, because they compete for the interpreter."""

_LIMITS = {AccessLevel.VIEWER: 10.0, AccessLevel.OPERATOR: 60.0, SHARED: 60.0}
"""Seconds for one question, and for the wait until there is a place."""

_HISTORY_TAKES = 5.0
"""Seconds."""


class JudgedGate(NamedTuple):
    """The gate's answer, and how far the record of the fleet went (None: there is no fleet)."""

    answer: GateAnswer
    record: Completeness | None


class LedgerQueries:
    """The ledger and the gate, from the event loop. Each answer may raise ApiError (503)."""

    def __init__(self, operations: Operations, pseudonymizer: Pseudonymizer) -> None:
        self._assembly = operations.assembly
        self._clock = operations.shim.clock
        self._pseudonymizer = pseudonymizer
        self._places = Places(_PLACES, _LIMITS, "too many questions to the ledger at once")
        self._judging = asyncio.Lock()
        self._judged: tuple[Time, JudgedGate] | None = None

    async def ask(
        self,
        visitor: Visitor | None,
        query: Callable[[LedgerReader], T],
        *,
        limited: bool = True,
    ) -> T:
        """The answer for this visitor, or for all (`SHARED`); only one that is not `limited` may take long."""
        level = SHARED if visitor is None else visitor.level
        async with self._places.take(level):
            try:
                with time_limit(_LIMITS[level]) if limited else nullcontext():
                    return await asyncio.to_thread(query, self._assembly.reader)
            except InputError as error:
                raise unavailable(str(error)) from None

    async def gate(self, visitor: Visitor | None, at: Wall | None = None) -> JudgedGate:
        """The answer now, or as of an earlier time."""
        if at is not None:
            return await self.ask(visitor, lambda ledger: self._judge(ledger, at))
        asked = self._clock()
        async with self._judging:
            # All who waited for a place share the answer that was begun after they had asked.
            if self._judged is None or self._judged[0] < asked:
                began = self._clock()
                # It reads on where it ended the last time, however long that takes.
                answer = await self.ask(SHARED, self._judge, limited=False)
                self._judged = began, answer
            return self._judged[1]

    def _judge(self, ledger: LedgerReader, at: Wall | None = None) -> JudgedGate:
        record = describe_completeness(ledger.fleet())
        return JudgedGate(self._assembly.judge_gate(ledger, at), record)

    async def brakes(self, visitor: Visitor) -> list[FleetOrder] | None:
        """The history of the brake; None: the ledger does not tell, or not soon.

        The brake has to be seen, and to be released, without a ledger, too.
        """
        try:
            async with asyncio.timeout(_HISTORY_TAKES):
                with time_limit(_HISTORY_TAKES):  # the thread ends, too
                    return await self.ask(visitor, read_brake_history)
        except (ApiError, TimeoutError):
            return None

    async def verdicts(self, visitor: Visitor, query: VerdictsQuery) -> Page:
        which = query.filter(query.user and self._pseudonymizer.resolve(query.user))
        return await self.ask(
            visitor, lambda ledger: ledger.verdicts(which, limit=query.limit, cursor=query.cursor)
        )

    async def latest_verdicts(self, visitor: Visitor, user: str, limit: int) -> Page:
        """The latest verdicts of a user, who is named in clear."""
        which = VerdictFilter(user=user)
        return await self.ask(visitor, lambda ledger: ledger.verdicts(which, limit=limit))

    async def outcomes(self, visitor: Visitor, query: OutcomesQuery) -> list[ActionRow]:
        user = query.user and self._pseudonymizer.resolve(query.user)
        return await self.ask(
            visitor,
            lambda ledger: ledger.outcomes(
                kind=query.kind,
                role=query.acting,
                result=query.result,
                user=user,
                since=wall(query.since),
                until=wall(query.until),
                limit=query.limit,
            ),
        )
