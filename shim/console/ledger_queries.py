"""The console's questions to the ledger: in threads, few at a time; a failure becomes an API error."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from shim.console.access.redaction import Pseudonymizer
from shim.console.api.filters import OutcomesQuery, VerdictsQuery, wall
from shim.console.api.responses import unavailable
from shim.console.operations import Operations
from shim.gate import GateAnswer
from shim.ledger import LedgerReader, Page, VerdictFilter
from shim.ledger.rows import ActionRow, VerdictRow, Wall
from shim.model import InputError

T = TypeVar("T")
_AT_ONCE = 2
"""Questions at a time: more threads would delay the event loop, because they compete for the interpreter."""


class LedgerQueries:
    """The ledger and the gate, from the event loop. Each answer may raise ApiError (503)."""

    def __init__(self, operations: Operations, pseudonymizer: Pseudonymizer) -> None:
        self._assembly = operations.assembly
        self._pseudonymizer = pseudonymizer
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, query: Callable[[LedgerReader], T]) -> T:
        async with self._places:
            try:
                return await asyncio.to_thread(query, self._assembly.reader)
            except InputError as error:
                raise unavailable(str(error)) from None

    async def gate(self, at: Wall | None = None) -> GateAnswer:
        """The answer now, or as of an earlier time."""
        return await self.ask(lambda ledger: self._assembly.judge_gate(ledger, at))

    async def verdicts(self, query: VerdictsQuery) -> Page:
        which = query.filter(query.user and self._pseudonymizer.resolve(query.user))
        return await self.ask(
            lambda ledger: ledger.verdicts(which, limit=query.limit, cursor=query.cursor)
        )

    async def latest_verdicts(self, user: str, limit: int) -> list[VerdictRow]:
        """The latest verdicts of a user, who is named in clear."""
        which = VerdictFilter(user=user)
        return (await self.ask(lambda ledger: ledger.verdicts(which, limit=limit))).rows

    async def outcomes(self, query: OutcomesQuery) -> list[ActionRow]:
        user = query.user and self._pseudonymizer.resolve(query.user)
        return await self.ask(
            lambda ledger: ledger.outcomes(
                kind=query.kind,
                role=query.acting,
                result=query.result,
                user=user,
                since=wall(query.since),
                until=wall(query.until),
                limit=query.limit,
            )
        )
