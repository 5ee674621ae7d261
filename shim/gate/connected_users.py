"""How many users were connected, minute by minute: what a crowd is measured by (R16).

A minute (`grain`) has the users of the rows that contain its begin. So what is known of a minute does not
change when later rows come, and an answer does not depend on when somebody asked.

Rules: docs/design.md#r16.
"""

from collections import defaultdict

from shim.model import Duration, Time

_LOOK_AROUND = (0, -1, -2, -3, -4, -5, 1)
"""Which minutes are looked at, in this order: a process has no row for the minute in which it began."""


class ConnectedUsers:
    """Takes what each process watched; asked for any time, of one run or of the whole fleet."""

    def __init__(self, grain: Duration) -> None:
        self._grain = grain
        # By minutes: of each run, and under None of the fleet.
        self._users: defaultdict[int | None, dict[int, int]] = defaultdict(dict)

    def add(self, run: int, since: Time, until: Time, users: int) -> None:
        """In this run so many users were connected from `since` to `until`; nothing changes if added twice."""
        grain, of_run, of_fleet = self._grain, self._users[run], self._users[None]
        for minute in range(-(-since // grain), (until - 1) // grain + 1):
            before = of_run.get(minute, 0)
            if users > before:
                of_run[minute] = users
                of_fleet[minute] = of_fleet.get(minute, 0) + users - before

    def __call__(self, at: Time, run: int | None) -> int:
        """The users connected at `at`; 0 if no minute near it was counted."""
        users_at, minute = self._users.get(run, {}), at // self._grain
        for distance in _LOOK_AROUND:
            if users := users_at.get(minute + distance):
                return users
        return 0
