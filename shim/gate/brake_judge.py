"""Whether the brake has to engage, from what becomes known of one process or of a whole fleet.

Facts come in the order of time, by the wall clock, since days are those of UTC. From a release of the brake on
only new evidence counts.

Rules: docs/design.md#r15, docs/design.md#r22, docs/design.md#r25.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from operator import itemgetter

from shim.gate.brake_statistics import (
    BrakeLimits,
    BrakeRecord,
    FalseKill,
    FalseKills,
    FalseKillWatch,
    FewerReturns,
    ReturnWatch,
)
from shim.gate.connected_users import ConnectedUsers
from shim.gate.observed_rows import ObservedRow
from shim.gate.question import QuestionTimes
from shim.model import Kind, Time


class BrakeJudge:
    """Watches false kills and returns. `times` has the begin of the trial."""

    def __init__(self, limits: BrakeLimits, times: QuestionTimes) -> None:
        self._limits = limits
        self._times = times
        # Actions whose window is not over, by its end.
        self._waiting: list[tuple[Time, int, Kind, ObservedRow]] = []
        self._entry = count()
        self._connected = {kind: ConnectedUsers(times.grain) for kind in Kind}
        self.begin_kills(times.since)
        self.begin_returns(times.since)

    @property
    def trial_since(self) -> Time:
        """From when on returns are compared."""
        return self._times.since

    def begin_kills(self, since: Time) -> None:
        """Count the false kills anew: there is another candidate, or the brake was released."""
        self._kills = FalseKillWatch(self._limits, self._times.grain, since)

    def begin_returns(self, since: Time) -> None:
        """Compare the returns anew: another trial begins."""
        self._times = replace(self._times, since=since)
        self._returns = ReturnWatch(self._times, lambda kind: self._connected[kind])
        self._waiting.clear()

    def resume(self, record: BrakeRecord) -> FalseKills | None:
        """Go on with what the ledger knows of the time until now; the reason to engage, if that has one."""
        self.begin_kills(record.kills_since)
        self.begin_returns(record.since)
        for kind, run, since, until, users in record.connected:
            self._connected[kind].add(run, since, until, users)
        for kind, row in record.returns:
            self.settled(kind, row)
        events: list[tuple[str, Time] | FalseKill] = [*record.decisions, *record.kills]
        reason = None
        for event in sorted(events, key=itemgetter(1)):
            if isinstance(event, FalseKill):
                reason = self.killed(*event) or reason
            else:
                self.decided(*event)
        return reason

    def decided(self, user: str, at: Time) -> None:
        """The candidate decided on a connection of this user."""
        self._kills.decided(user, at)

    def killed(self, user: str, at: Time, event: Hashable) -> FalseKills | None:
        """A decision of the candidate's was wrong (`FalseKill`); the reason to engage, if there is one."""
        return self._kills.killed(user, at, event)

    def settled(self, kind: Kind, row: ObservedRow) -> None:
        """A return or a loss. It waits until its window is over: returns do not count before losses (R15)."""
        heappush(self._waiting, (row.at, next(self._entry), kind, row))

    def covered(self, kind: Kind, run: int, since: Time, until: Time, users: int) -> None:
        """So many users were connected to a process."""
        self._connected[kind].add(run, since, until, users)

    def fewer_returns(self, now: Time) -> FewerReturns | None:
        """The reason to engage at `now`, if fewer clients come back from the candidate's closing."""
        for kind, rows in self._known(now).items():
            self._returns.extend(kind, rows)
        return self._returns.reason(now)

    def _known(self, now: Time) -> dict[Kind, list[ObservedRow]]:
        """The returns and losses whose windows are over, in the order of time."""
        known: defaultdict[Kind, list[ObservedRow]] = defaultdict(list)
        while self._waiting and self._waiting[0][0] < now:
            _, _, kind, row = heappop(self._waiting)
            known[kind].append(row)
        return known
