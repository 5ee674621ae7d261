"""How many users were connected, minute by minute: what a crowd is measured by (R16).

Rules: docs/design.md#r16.
"""

from collections import defaultdict

from shim.model import Duration, Time

_LOOK_AROUND = 5
"""So many minutes before and after one without a count are looked at."""


class ConnectedUsers:
    """Told once a minute by each process; asked for any time, of one run or of the whole fleet."""

    def __init__(self, grain: Duration) -> None:
        self._grain = grain
        self._of_run: dict[tuple[int, int], int] = {}
        self._of_fleet: defaultdict[int, int] = defaultdict(int)

    def add(self, run: int, since: Time, until: Time, users: int) -> None:
        """In this run so many users were connected from `since` to `until`."""
        for minute in range(since // self._grain, (until - 1) // self._grain + 1):
            before = self._of_run.get((run, minute), 0)
            if users > before:
                self._of_run[run, minute] = users
                self._of_fleet[minute] += users - before

    def __call__(self, at: Time, run: int | None) -> int:
        """The users connected at `at`; 0 if no minute near it was counted."""
        minute = at // self._grain
        for distance in range(_LOOK_AROUND + 1):
            for near in (minute + distance, minute - distance):
                users = (
                    self._of_fleet.get(near, 0) if run is None else self._of_run.get((run, near), 0)
                )
                if users:
                    return users
        return 0
