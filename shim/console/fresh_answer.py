"""An answer that all who look at the console share, asked for again when it is too old."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from shim.console.api.responses import ApiError
from shim.model import Duration, Time

_AT_MOST = 10
"""An answer that took long is kept longer, so that a tenth of the time is spent on asking."""

T = TypeVar("T")


class FreshAnswer(Generic[T]):
    """An answer that is asked for again when it is older than `lasts`; all viewers wait for the same answer.

    An answer that took long is kept for `rest` times as long.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        lasts: Duration,
        clock: Callable[[], Time],
        rest: int = _AT_MOST,
    ) -> None:
        self._ask = ask
        self._lasts = lasts
        self._clock = clock
        self._rest = rest
        self._lock = asyncio.Lock()
        self._until: Time | None = None
        self._answer: T | None = None
        self._trouble: str | None = None
        self._asking: asyncio.Task[tuple[T | None, str | None]] | None = None

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
                self._until = now + max(self._lasts, self._rest * (now - began))
            return self._answer, self._trouble

    async def get_within(self, patience: float) -> tuple[T | None, str | None]:
        """The same for a visitor who waits at most `patience` seconds.

        The question goes on, so that one thread asks a silent ledger, and not one thread for each visitor.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.get())
        asked = self._asking
        await asyncio.wait([asked], timeout=patience)
        return asked.result() if asked.done() else (None, "the ledger does not answer soon")
