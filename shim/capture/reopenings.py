"""The lines with which a file begins: every connection that was open then, opened again.

A million of these lines take seconds to make, and connections go on meanwhile. So the lines are made in
slices, in the order of their times. A connection that is about to change has its lines made before.

Rules: docs/design.md#r3, docs/design.md#r3b.
"""

from collections.abc import Callable
from heapq import heappop, heappush

import msgspec

from shim.capture.followed import Followed, FollowedConnections
from shim.capture.format import CloseLine, Data, Line, Stall
from shim.model import Time, seconds

_OPEN, _DATA, _STALL, _CLOSE = range(4)
"""The order at one time: a pause concerns what was seen strictly before its start (R3)."""


class Reopenings:
    """The state of the connections when file number `file` began, as lines whose time counts from `zero`.

    `pauses`: the starts and ends of the pauses that this file has to know.
    """

    def __init__(
        self,
        connections: FollowedConnections,
        file: int,
        pauses: list[tuple[Time, Time]],
        zero: Time,
    ) -> None:
        self._file = file
        self._zero = zero
        self._encode = msgspec.json.Encoder().encode
        self._next = connections.oldest
        # The lines that are made and not taken yet.
        self._made: list[tuple[Time, int, int, bytes]] = []
        for number, (start, end) in enumerate(pauses):
            self._make(start, _STALL, number, Stall(0, seconds(end - start)))

    @property
    def done(self) -> bool:
        """Whether all lines have been taken."""
        return self._next is None and not self._made

    def before_change(self, followed: Followed) -> None:
        """The connection is about to change: make its lines now, unless they have been made."""
        if followed.file != self._file:
            if followed is self._next:
                self._next = followed.later
            self._reopen(followed)
        elif followed is self._next:
            self._next = followed.later

    def take(self, enough: Callable[[], bool]) -> bytes:
        """The next lines: all of them, or those until it is `enough`."""
        made, taken = self._made, []
        while not self.done:
            following = self._next
            if made and (following is None or made[0][0] < following.last_seen):
                taken.append(heappop(made)[3])
            elif following is not None:
                self._next = following.later
                if following.file != self._file:
                    self._reopen(following)
            if enough():
                break
        return b"".join(taken)

    def _reopen(self, followed: Followed) -> None:
        followed.file = self._file
        if followed.over:
            return
        facts, order, closing = followed.facts, followed.order, followed.closing
        self._make(followed.last_seen, _OPEN, order, facts)
        for at in followed.data:
            if at > followed.last_seen:
                self._make(at, _DATA, order, Data(0, facts.connection))
        if closing is not None:
            line = CloseLine(0, facts.connection, closing.cause)
            self._make(closing.at, _CLOSE, order, line)

    def _make(self, at: Time, kind: int, order: int, line: Line) -> None:
        line.t = seconds(at - self._zero)
        heappush(self._made, (at, kind, order, self._encode(line) + b"\n"))
