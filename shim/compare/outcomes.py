"""The outcomes: did the client come back after a monitor had closed its connection? (R15: docs/design.md#r15)

timeout acted on   another connection of the identity, opened after the dead one's last sign of
                   life, is open: replaced; otherwise the action is pending until its window ends
opening            settles the oldest pending action of its identity: returned
window passed      lost
end of the record  pending actions whose window it does not cover: censored

An exact candidate acts up to an interval earlier than a sweeping control. A window counted from the
action would end earlier, too, and the candidate would lose clients that the control keeps. So a window
never begins before the control would have acted at the latest.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from shim.compare.return_watcher import Opening, ReturnWatcher
from shim.model import Connection, Duration, Identity, Outcome, Return, Time


@dataclass(slots=True, eq=False)
class _Pending:
    """An action that waits; `action` is the outcome as far as it is known."""

    action: Outcome
    settled: bool = False


class Outcomes(ReturnWatcher):
    """Knows which identities are connected, and which closings still wait for a return."""

    def __init__(self, return_window: Duration, patience: Duration = 0) -> None:
        super().__init__(return_window, patience)
        self._pending: dict[Identity, deque[_Pending]] = {}
        # By the ends of the windows, then by the order of the actions.
        self._windows: list[tuple[Time, int, _Pending]] = []
        self._actions = 0

    @property
    def next_loss(self) -> Time | None:
        windows = self._windows
        while windows and windows[0][2].settled:
            heappop(windows)
        return windows[0][0] + 1 if windows else None

    def opened(self, opening: Opening) -> Outcome | None:
        self.keep(opening)
        if not self._pending:
            return None
        identity = opening.connection.identity
        waiting = self._pending.get(identity)
        if not waiting:
            return None
        pending = waiting.popleft()
        if not waiting:
            del self._pending[identity]
        pending.settled = True
        action, at = pending.action, opening.opened_at
        return replace(action, result=Return.RETURNED, at=at, delay=at - action.acted_at)

    def closed(self, connection: Connection, now: Time) -> None:
        self.drop(connection)

    def wait(self, action: Outcome) -> Outcome | None:
        identity = action.connection.identity
        if any(other.opened_at > action.last_activity for other in self.openings(identity)):
            return replace(action, result=Return.REPLACED)
        pending = _Pending(action)
        self._pending.setdefault(identity, deque()).append(pending)
        self._actions += 1
        heappush(self._windows, (action.window_ends, self._actions, pending))
        return None

    def expire(self, now: Time) -> Iterator[Outcome]:
        while (lost_at := self.next_loss) is not None and lost_at <= now:
            yield self._settle(heappop(self._windows)[2], Return.LOST, lost_at)

    def finish(self, now: Time) -> Iterator[Outcome]:
        while (lost_at := self.next_loss) is not None:
            result = Return.CENSORED if lost_at - 1 > now else Return.LOST
            yield self._settle(heappop(self._windows)[2], result, min(lost_at, now))

    def _settle(self, pending: _Pending, result: Return, at: Time) -> Outcome:
        identity = pending.action.connection.identity
        waiting = self._pending[identity]
        waiting.remove(pending)
        if not waiting:
            del self._pending[identity]
        return replace(pending.action, result=result, at=at)
