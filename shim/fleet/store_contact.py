"""When a process could reach the store: what others had to tell in an absence becomes known a while after it.

A judge that is slow, because it or the store has much to do, has short absences all the time. They must not
keep it from concluding; it concludes what is older than they are.

Rules: docs/design.md#r24.
"""

from collections import deque
from math import inf

from shim.ledger.postgres.openings import GIVEN_UP
from shim.model import SECOND

_ABSENT = 2.0
"""Seconds without an answer of the store that count as an absence."""

_LONG = 10.0
"""Seconds: so long an absence may make every process seem silent."""

_REMEMBERED = GIVEN_UP / SECOND
"""Seconds after which a process that was not heard of counts as silent."""


class StoreContact:
    """The absences of the last minute; the time before the first contact is one. All times are in seconds.

    Args:
        settle: within so long after an absence, or after its start, every process reaches the store.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._last = -inf
        self._absences: deque[tuple[float, float]] = deque()

    def note(self, now: float) -> None:
        """The store has answered."""
        if now - self._last > _ABSENT:
            self._absences.append((self._last, now))
        self._last = now
        while self._absences and self._absences[0][1] <= now - max(_REMEMBERED, self._settle):
            self._absences.popleft()

    @property
    def unsettled_since(self) -> float | None:
        """From then on a process may have lived that is not on the store's list yet; None: all are there."""
        return min(
            (
                since - self._settle
                for since, until in self._absences
                if self._last - until < self._settle
            ),
            default=None,
        )

    @property
    def tells_silence(self) -> bool:
        """Whether a process that was not heard of is silent, and not only because the store was away."""
        return all(until - since < _LONG for since, until in self._absences)
