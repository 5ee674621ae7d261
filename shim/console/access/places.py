"""How many visitors are served at a time. Viewers have places of their own, and so crowd out no operator."""

import asyncio
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from shim.console.api.responses import unavailable

K = TypeVar("K", bound=Hashable)


class Places(Generic[K]):
    """A number of places for each kind of visitor; who waits for a place too long gets ApiError (503)."""

    def __init__(self, counts: Mapping[K, int], patience: Mapping[K, float], refusal: str) -> None:
        """`patience`: the longest wait, in seconds."""
        self._places = {kind: asyncio.Semaphore(count) for kind, count in counts.items()}
        self._patience = patience
        self._refusal = refusal

    @asynccontextmanager
    async def take(self, kind: K) -> AsyncIterator[None]:
        """Inside the context one place of this kind is taken. Raises ApiError (503)."""
        places = self._places[kind]
        try:
            async with asyncio.timeout(self._patience[kind]):
                await places.acquire()
        except TimeoutError:
            raise unavailable(self._refusal) from None
        try:
            yield
        finally:
            places.release()
