"""The guard: what may be a fault of the server's own must not send every client away at once (R6b).

| state   | the acting candidate decides                         | time passes                        |
|---------|------------------------------------------------------|------------------------------------|
| calm    | few within the window: the close goes on             |                                    |
|         | too many: -> holding, this close is held             |                                    |
| holding | the close is held                                    | a hold ends: that close goes on,   |
|         |                                                      |   one after the other, paced       |
|         |                                                      | none held, few in the window: calm |

A held connection that gives a sign of life is saved. Holds end in the order in which they began, and so
far apart that no more are closed within a window than would have passed without a guard.

While no connection that the candidate acts for gives a sign of life, nobody knows that the network is
back. So no hold ends before `hold` has passed since the first sign of life, or `LONGEST_HOLDS` times
`hold` since the guard began to hold.

Rules: docs/design.md#r6b.
"""

from collections import OrderedDict, deque
from typing import NamedTuple, Protocol

from shim.model import Decision, Duration, Time

LONGEST_HOLDS = 10
"""So many times `hold` a silent network is waited for."""

_PROBE: Duration = 1_000_000
"""How long to wait until a sign of life is looked for again."""


class GuardLimits(Protocol):
    """More than `share` of the connections, and at least `count`, within `window` are too many."""

    @property
    def window(self) -> Duration: ...

    @property
    def share(self) -> float: ...

    @property
    def count(self) -> int: ...

    @property
    def hold(self) -> Duration:
        """How long a held connection has to give a sign of life."""


class _Held(NamedTuple):
    decision: Decision
    until: Time


class Guard:
    """Told of each decision of the acting candidate; keeps those that are held."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        # The decisions within the window: when, and on which connection.
        self._decided: deque[tuple[Time, str]] = deque()
        # All holds are equally long, so they end in the order in which they began.
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._pace: Duration = 0
        self._next_release: Time = 0
        self._next_probe: Time = 0
        self._heard_at: Time | None = None
        # The closes that made the guard hold last, and those that it let go on.
        self._event_closes: set[str] = set()
        self._events = 0
        self.holding = False
        self.began: Time = 0

    def __contains__(self, connection_id: str) -> bool:
        return connection_id in self._held

    def __len__(self) -> int:
        """How many closes are held."""
        return len(self._held)

    @property
    def next_due(self) -> Time | None:
        """When the next held close goes on, or the window empties."""
        if not self.holding:
            return None
        first = next(iter(self._held.values()), None)
        if first is None:
            # The window cannot be empty before `calm` has seen it.
            return self._decided[0][0] + self._limits.window
        due = max(first.until, self._next_release)
        if self._heard_at is not None:
            return max(due, self._heard_at + self._limits.hold)
        longest = max(due, self.began + LONGEST_HOLDS * self._limits.hold)
        return min(longest, max(due, self._next_probe))

    def listens(self, now: Time) -> bool:
        """Whether somebody has to look for a sign of life, later than `began`, before a hold can end."""
        listens = self.holding and self._heard_at is None and now >= self._next_probe
        if listens:
            self._next_probe = now + _PROBE
        return listens

    def heard(self, now: Time) -> None:
        """A connection that the candidate acts for has given a sign of life."""
        if self._heard_at is None:
            self._heard_at = now

    def event_of(self, connection_id: str) -> int | None:
        """The number of the event that the close of this connection belongs to; None: to no event."""
        return self._events if connection_id in self._event_closes else None

    def holds(self, decision: Decision, now: Time, acting_for: int) -> bool:
        """Whether to hold this decision's close; `acting_for` connections are the candidate's.

        Those that were closed within the window count among them: they were when it began.
        """
        self._forget_before(now)
        self._decided.append((now, decision.connection_id))
        decided = len(self._decided)
        if not self.holding:
            limits = self._limits
            closed = decided - 1
            if decided < limits.count or decided <= limits.share * (acting_for + closed):
                return False
            self.holding = True
            self.began, self._heard_at = now, None
            self._next_probe = now + limits.hold
            self._events += 1
            self._event_closes = {connection_id for _, connection_id in self._decided}
            allowed = max(limits.count, int(limits.share * (acting_for + closed)))
            self._pace = limits.window // allowed
        self._held[decision.connection_id] = _Held(decision, now + self._limits.hold)
        return True

    def forget(self, connection_id: str) -> Decision | None:
        """A connection lives, has gone, or is another's to close: what was held of it, if anything."""
        held = self._held.pop(connection_id, None)
        return None if held is None else held.decision

    def release(self, now: Time) -> Decision | None:
        """The next close that goes on, if one is due."""
        due = self.next_due
        if due is None or due > now or not self._held:
            return None
        if self._heard_at is None and now < self.began + LONGEST_HOLDS * self._limits.hold:
            return None
        connection_id, held = self._held.popitem(last=False)
        self._event_closes.add(connection_id)
        self._next_release = now + self._pace
        return held.decision

    def calm(self, now: Time) -> bool:
        """Whether the guard has just become calm: none is held, and the window is no longer full."""
        was_holding = self.holding
        if was_holding and not self._held:
            self._forget_before(now)
            self.holding = len(self._decided) >= self._limits.count
        return was_holding and not self.holding

    def _forget_before(self, now: Time) -> None:
        decided, since = self._decided, now - self._limits.window
        while decided and decided[0][0] <= since:
            decided.popleft()
