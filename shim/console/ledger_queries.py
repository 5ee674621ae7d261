"""What the console asks the ledger: in threads, a few at a time, its failures told in plain words."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from shim.console.api.problems import unavailable
from shim.console.operations import Operations
from shim.gate import GateAnswer
from shim.ledger import LedgerReader
from shim.model import InputError

T = TypeVar("T")
_AT_ONCE = 2
"""More threads than this would hold up the event loop, whose lock they want."""


class LedgerQueries:
    """The ledger and the gate, from the event loop. Each answer may raise ApiError (503)."""

    def __init__(self, operations: Operations) -> None:
        self._assembly = operations.assembly
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, query: Callable[[LedgerReader], T]) -> T:
        async with self._places:
            try:
                return await asyncio.to_thread(query, self._assembly.reader)
            except InputError as error:
                raise unavailable(str(error)) from None

    async def gate(self) -> GateAnswer:
        return await self.ask(self._assembly.judge_gate)
