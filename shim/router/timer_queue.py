"""The timer queue: which sleeper is to be woken when, for a hundred thousand of them.

Sleepers of one time share an entry, so that only times need an order: monitors beat on a shared grid.
Entries are never cancelled: a sleeper with a new time is entered again, and an entry that no longer
holds is recognised when it comes up.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from shim.model import Time


class Sleeper(Protocol):
    """`wake_at` is when it is to be woken (None: not at all); the queue keeps it."""

    wake_at: Time | None


S = TypeVar("S", bound=Sleeper)


class TimerQueue(Generic[S]):
    """The sleepers, each of which is entered for one time or for none."""

    def __init__(self) -> None:
        self._sleepers: dict[Time, list[S]] = {}
        self._times: list[Time] = []
        # Those of one time whose waking has begun: the next to be woken is the last.
        self._begun: list[S] = []
        self._begun_at: Time = 0

    def enter(self, sleeper: S, at: Time | None) -> None:
        """Wake `sleeper` at `at` and no other time; None: let it sleep."""
        if at == sleeper.wake_at:
            return
        sleeper.wake_at = at
        if at is None:
            return
        if (sleepers := self._sleepers.get(at)) is not None:
            sleepers.append(sleeper)
        else:
            self._sleepers[at] = [sleeper]
            heappush(self._times, at)

    @property
    def next_due(self) -> Time | None:
        """When the next sleeper is to be woken."""
        times = self._times
        while times:
            at = times[0]
            if _has_sleeper(self._sleepers[at], at):
                break
            del self._sleepers[at]
            heappop(times)
        if self._begun and _has_sleeper(self._begun, self._begun_at):
            return min(self._begun_at, times[0]) if times else self._begun_at
        return times[0] if times else None

    def any_due(self, now: Time) -> bool:
        """Whether there may be a sleeper whose time has come."""
        return (bool(self._times) and self._times[0] <= now) or bool(self._begun)

    def due(self, now: Time) -> Iterator[S]:
        """Whose time has come, in the order of their times, then of entering; no longer entered.

        Sleepers may be entered meanwhile. Who does not read to the end goes on with the next call.
        """
        times = self._times
        while True:
            begun, at = self._begun, self._begun_at
            while begun:
                sleeper = begun.pop()
                if sleeper.wake_at == at:
                    sleeper.wake_at = None
                    yield sleeper
            if not times or times[0] > now:
                return
            self._begun_at = heappop(times)
            self._begun = self._sleepers.pop(self._begun_at)
            self._begun.reverse()


def _has_sleeper(sleepers: list[S], at: Time) -> bool:
    """Whether one of them is still to be woken at that time; drops those at the end that are not."""
    while sleepers and sleepers[-1].wake_at != at:
        sleepers.pop()
    return bool(sleepers)
