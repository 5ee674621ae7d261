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
        self._of_run: dict[tuple[int, int], int] = {}
        self._of_fleet: defaultdict[int, int] = defaultdict(int)

    def add(self, run: int, since: Time, until: Time, users: int) -> None:
        """In this run so many users were connected from `since` to `until`; nothing changes if added twice."""
        for minute in range(-(-since // self._grain), (until - 1) // self._grain + 1):
            before = self._of_run.get((run, minute), 0)
            if users > before:
                self._of_run[run, minute] = users
                self._of_fleet[minute] += users - before

    def __call__(self, at: Time, run: int | None) -> int:
        """The users connected at `at`; 0 if no minute near it was counted."""
        minute = at // self._grain
        for distance in _LOOK_AROUND:
            near = minute + distance
            users = self._of_fleet.get(near, 0) if run is None else self._of_run.get((run, near), 0)
            if users:
                return users
        return 0
