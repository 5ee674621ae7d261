"""Coverage by arithmetic: what was connected and watched, whether or not the router knew of it.

`shim.runtime.coverage_meter` reads the sums of a router that knows every connection. Here the router
knows a connection only while something happens to it, which is what makes a simulation fast: so the
simulation counts the connections itself. The candidate's pings are counted where the router knows a
connection. For the rest they are estimated: as many for each interval as it sent where it was seen.
"""

from collections.abc import Iterator

from shim.model import Coverage, Duration, Kind, Role, Stage, Time
from shim.router import Router
from shim.router.time_integral import TimeIntegral
from shim.simulate.link import Link, User
from shim.simulate.scenario import Scenario

_ALL = 0.9
"""Where such a share of the pings was seen it is taken for all: what is seen is mostly trouble."""


class _Stretch(TimeIntegral):
    """The sum since it was last taken."""

    __slots__ = ()

    def take(self, now: Time) -> Duration:
        total = self.until(now)
        self._total, self._since = 0, now
        return total


class _OfKind:
    """The counts for one kind of connection; `lane_…`: what the routers' lanes said in sum."""

    def __init__(self) -> None:
        self.open = {role: _Stretch(0) for role in Role}
        self.unknown = _Stretch(0)
        self.users = dict.fromkeys(Role, 0)
        self.reported_pings = self.reported_watched = 0
        self.lane_pings = self.lane_watched = 0
        self.reckoned: Duration = 0


class CoverageCount:
    """Told of every connection; `tell` answers what is due to the observers."""

    def __init__(self, scenario: Scenario) -> None:
        _, settings = scenario.settings.monitors.chosen.candidate
        self._interval: Duration | None = getattr(settings, "heartbeat_interval", None)
        self._kinds = {client.kind: _OfKind() for client in scenario.clients.values()}
        self._since: Time = 0
        self._router: Router | None = None

    def candidate_acts_for(self) -> int:
        return sum(kind.open[Role.CANDIDATE].count for kind in self._kinds.values())

    def opened(self, link: Link, now: Time) -> None:
        kind, user = self._kinds[link.client.kind], link.user
        acting = user.stage.acting
        kind.open[acting].add(+1, now)
        user.open[link.client.kind] += 1
        kind.users[acting] += user.open[link.client.kind] == 1
        self.skipped(link, now)

    def closed(self, link: Link, now: Time, *, watched: bool) -> None:
        kind, user = self._kinds[link.client.kind], link.user
        acting = user.stage.acting
        kind.open[acting].add(-1, now)
        user.open[link.client.kind] -= 1
        kind.users[acting] -= user.open[link.client.kind] == 0
        if not watched:
            self.watched(link, now)

    def demoted(self, user: User, now: Time) -> None:
        """The user is about to be taken back to `shadow`."""
        before = user.stage.acting
        for name, kind in self._kinds.items():
            connections = user.open[name]
            if before is Role.CANDIDATE and connections:
                kind.open[before].add(-connections, now)
                kind.open[before.other].add(+connections, now)
                kind.users[before] -= 1
                kind.users[before.other] += 1

    def watched(self, link: Link, now: Time) -> None:
        """The router knows the connection from now on."""
        self._kinds[link.client.kind].unknown.add(-_compared(link), now)

    def skipped(self, link: Link, now: Time) -> None:
        """The router does not know the connection any more."""
        self._kinds[link.client.kind].unknown.add(+_compared(link), now)

    def began(self, router: Router) -> None:
        """A router has begun to watch; `ended` was called for the one before."""
        self._router = router

    def ended(self, now: Time) -> None:
        """The router watches no more."""
        for name, kind in self._kinds.items():
            kind.lane_pings, kind.lane_watched = self._lane(name, now)
        self._router = None

    def tell(self, now: Time) -> Iterator[Coverage]:
        """What was covered since the last call."""
        for name, kind in self._kinds.items():
            acted = {role: kind.open[role].take(now) for role in Role}
            pings, watched = self._lane(name, now)
            kind.reckoned += kind.unknown.take(now)
            unseen: Duration = 0
            unseen_pings = 0
            # A part without any seen example waits until there is an example.
            if watched and self._interval:
                unseen, kind.reckoned = kind.reckoned, 0
                share = pings * self._interval / watched
                unseen_pings = round(unseen / self._interval * (1 if share > _ALL else share))
            yield Coverage(
                kind=name,
                since=self._since,
                until=now,
                connected=sum(acted.values()),
                control_acted=acted[Role.CONTROL],
                candidate_acted=acted[Role.CANDIDATE],
                watched=watched - kind.reported_watched + unseen,
                pings=pings - kind.reported_pings + unseen_pings,
                heartbeat_interval=self._interval,
                control_users=kind.users[Role.CONTROL],
                candidate_users=kind.users[Role.CANDIDATE],
            )
            kind.reported_pings, kind.reported_watched = pings, watched
        self._since = now

    def _lane(self, name: Kind, now: Time) -> tuple[int, Duration]:
        """What the candidates of all routers so far pinged and watched."""
        pings, watched = self._kinds[name].lane_pings, self._kinds[name].lane_watched
        if self._router is not None:
            candidate = self._router.monitors(Role.CANDIDATE)
            assert candidate is not None
            pings += candidate.pings[name]
            watched += candidate.watched_until(name, now)
        return pings, watched


def _compared(link: Link) -> int:
    """1 if the candidate watches at the user's stage."""
    return int(link.user.stage is not Stage.OFF)
