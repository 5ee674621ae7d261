"""The time from which a connection must be watched, because something will happen to it.

A trouble that is too short to make a decision possible is ignored, unless another trouble is near: then
the two may add up.
"""

from bisect import bisect_left
from typing import Any

from shim.model import Duration, Role, Stage, Time
from shim.simulate.client_sort import NEVER, Trouble, TroubleKind
from shim.simulate.fleet import Fleet
from shim.simulate.link import Link
from shim.simulate.scenario import Scenario


class Forecast:
    """Knows what is planned for the server, and how long a trouble has to be to matter.

    With `skip` false everything is watched all the time, and so are the connections of a sample of users.
    """

    def __init__(self, scenario: Scenario, fleet: Fleet, *, skip: bool, sample: float) -> None:
        chosen = scenario.settings.monitors.chosen
        assert chosen.control is not None
        settings = (chosen.control[1], chosen.candidate[1])
        intervals = [_key(one, "heartbeat_interval") for one in settings]
        timeouts = [_key(one, "timeout") for one in settings]
        interval = max((one for one in intervals if one), default=0)
        answer = interval + 2 * fleet.longest_round_trip
        early = scenario.candidate.early
        timeout = min((one for one in timeouts if one), default=0)
        self._harmless = timeout - (early.by if early else 0) - answer
        """A block of this length cannot make a silence long enough for a decision."""
        skip = skip and all(timeouts) and all(intervals) and self._harmless > 0
        self._skips = {
            stage: skip and (stage.acting is Role.CONTROL or scenario.candidate.pings)
            for stage in Stage
        }
        self._sample = sample
        self._lead = answer
        self._near = 2 * self._lead
        pauses = [(one.at, one.at + one.duration, 1.0) for one in scenario.server.pauses]
        cuts = [(one.at, one.at + one.duration, one.users) for one in scenario.server.cuts]
        self._pauses = sorted((start, end) for start, end, _ in pauses)
        # In the order of their ends.
        self._planned = sorted(pauses + cuts, key=lambda event: event[1])
        self._ends = [end for _, end, _ in self._planned]

    def watch_from(self, link: Link, now: Time) -> Time:
        """From when on the router has to know the link's connection; NEVER: no trouble is in sight."""
        user = link.user
        if not self._skips[user.stage] or user.sample < self._sample:
            return now
        if link.blocked(now) or now < link.lossy_until:
            return now
        trouble = link.next_trouble
        start = trouble.start if self._matters(link, trouble) else NEVER
        for begins, ends, share in self._planned[bisect_left(self._ends, now - self._lead) :]:
            if begins >= start:
                continue
            if user.cut < share and ends - begins > self._harmless:
                start = begins
        if start == NEVER:
            return NEVER
        # Early enough before `start`, and never while the server stands still.
        since = start - self._lead
        for begins, ends in reversed(self._pauses):
            if begins < start and since <= ends + self._lead:
                since = min(since, begins - self._lead)
        return since

    def _matters(self, link: Link, trouble: Trouble) -> bool:
        if trouble.start == NEVER or trouble.kind is TroubleKind.LEAVE:
            return False
        if trouble.kind is not TroubleKind.FREEZE or trouble.end - trouble.start > self._harmless:
            return True
        if link.following.start - trouble.end < self._near:
            return True
        near = self._planned[bisect_left(self._ends, trouble.start - self._near) :]
        return any(begins < trouble.end + self._near for begins, _, _ in near)


def _key(settings: Any, name: str) -> Duration | None:
    value = getattr(settings, name, None)
    return value if isinstance(value, int) else None
