"""The agenda: who is to be woken when, for a hundred thousand sleepers at a fraction of a heap's cost.

A calendar of buckets. An entry for later costs an append to its bucket; only the bucket whose time has
come is ordered, as a small heap. Entries are never cancelled: whoever changes its mind is entered
again, and an entry that no longer holds is recognised when it comes up.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

from shim.model import Time

_BUCKET_BITS = 16
"""A bucket is 2**16 microseconds wide, about 66 ms."""


class Sleeper(Protocol):
    """`wake_at` is when it is to be woken (None: not at all); the agenda keeps it."""

    wake_at: Time | None


S = TypeVar("S", bound=Sleeper)


class Agenda(Generic[S]):
    def __init__(self) -> None:
        self._near: list[tuple[Time, int, S]] = []
        self._near_bucket = -1
        self._later: dict[int, list[S]] = {}
        self._order: list[int] = []
        self._next_entry: Callable[[], int] = count().__next__

    def enter(self, sleeper: S, at: Time | None) -> None:
        """Wake `sleeper` at `at` and no other time; None: let it sleep."""
        if at == sleeper.wake_at:
            return
        sleeper.wake_at = at
        if at is None:
            return
        bucket = at >> _BUCKET_BITS
        if bucket <= self._near_bucket:
            heappush(self._near, (at, self._next_entry(), sleeper))
        elif (sleepers := self._later.get(bucket)) is not None:
            sleepers.append(sleeper)
        else:
            self._later[bucket] = [sleeper]
            heappush(self._order, bucket)

    @property
    def next_due(self) -> Time | None:
        """When the next sleeper is to be woken."""
        while True:
            near = self._near
            while near:
                at, _, sleeper = near[0]
                if sleeper.wake_at == at:
                    return at
                heappop(near)
            if not self._order:
                return None
            self._open_next_bucket()

    def pop_due(self, now: Time) -> S | None:
        """The next sleeper whose time has come, no longer entered."""
        while True:
            near = self._near
            while near:
                at, _, sleeper = near[0]
                if sleeper.wake_at == at:
                    if at > now:
                        return None
                    sleeper.wake_at = None
                    heappop(near)
                    return sleeper
                heappop(near)
            if not self._order or self._order[0] > now >> _BUCKET_BITS:
                return None
            self._open_next_bucket()

    def _open_next_bucket(self) -> None:
        self._near_bucket = heappop(self._order)
        self._near = [
            (sleeper.wake_at, self._next_entry(), sleeper)
            for sleeper in dict.fromkeys(self._later.pop(self._near_bucket))
            if sleeper.wake_at is not None and sleeper.wake_at >> _BUCKET_BITS == self._near_bucket
        ]
        heapify(self._near)
