"""Coverage: once a minute, what was watched since the last time (R14, R16).

It also says that the process is alive: a record without coverage is not complete.

Rules: docs/design.md#r3, docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Callable
from operator import sub

from shim.model import SECOND, Coverage, Duration, Kind, Role, Time
from shim.router import Router
from shim.runtime.census import Census

INTERVAL: Duration = 60 * SECOND
"""A shorter `gate.grain` makes the interval shorter: what is about to be judged has to be covered."""

_LONGEST: Duration = 2 * INTERVAL
"""After a longer time without a measurement the process stood still, and nobody watched (R3)."""


class CoverageMeter:
    """Reads the sums of other parts; the coverage of a minute is their difference.

    `heartbeat_interval` is the candidate's, None where its settings have no such key.
    """

    def __init__(
        self,
        router: Router,
        census: Census,
        *,
        heartbeat_interval: Duration | None,
        tell: Callable[[Coverage], None],
        now: Time,
    ) -> None:
        self._router = router
        self._census = census
        self._heartbeat_interval = heartbeat_interval
        self._tell = tell
        self._since = now
        self._before = {kind: self._sums(kind, now) for kind in Kind}

    def measure(self, now: Time) -> None:
        """Report what was watched since the last call.

        Also for a kind that was not connected: that nobody was there is known because somebody watched.
        """
        since, self._since = max(self._since, now - _LONGEST), now
        census = self._census
        for kind in Kind:
            sums = self._sums(kind, now)
            control, candidate, watched, pings = map(sub, sums, self._before[kind])
            self._before[kind] = sums
            self._tell(
                Coverage(
                    kind=kind,
                    since=since,
                    until=now,
                    connected=control + candidate,
                    control_acted=control,
                    candidate_acted=candidate,
                    watched=watched,
                    pings=pings,
                    heartbeat_interval=self._heartbeat_interval,
                    control_users=census.acted_for(kind, Role.CONTROL),
                    candidate_users=census.acted_for(kind, Role.CANDIDATE),
                )
            )

    def _sums(self, kind: Kind, now: Time) -> tuple[Duration, Duration, Duration, int]:
        """Since the start: for how long the control acted, and the candidate, what was watched, the pings."""
        census, candidate = self._census, self._router.monitors(Role.CANDIDATE)
        assert candidate is not None
        return (
            census.connected(kind, Role.CONTROL, now),
            census.connected(kind, Role.CANDIDATE, now),
            candidate.watched_until(kind, now),
            candidate.pings[kind],
        )
