"""The newest lines, in the order in which a replay must read them.

A pause of the process is known only when it is over, and evidence of life may be known late. Both belong
before lines that exist already. So lines wait here until no other line can come before them.

Rules: docs/design.md#r3.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from shim.capture.format import Line, MessageLine, PongLine, Stall
from shim.model import Time, seconds

_LINES_OF_PART = 4096
"""So many lines are put together in a fraction of a millisecond."""


class Journal:
    """Encoded lines with their times, which are those of the live clock; `zero` is the file's start.

    `held`: the bytes that wait. `floor`: the time up to which lines have been taken away.
    """

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._times = array("q")
        self._lines: list[bytes] = []
        self._newest: Line | None = None
        self._resumed: Time | None = None
        self.zero: Time = 0
        self.floor: Time = 0
        self.held = 0

    def restart(self, zero: Time, floor: Time) -> None:
        """Begin a file whose time counts from `zero`, and which has been written up to `floor`."""
        self.take()
        self.zero, self.floor = zero, floor

    def add(self, at: Time, line: Line) -> None:
        """Add the newest line. What is read after a pause, before a monitor judges, happens at its end (R3)."""
        if self._resumed is not None:
            at = self._resumed
        self._times.append(at)
        self._lines.append(self._encoded(at, line))
        self._newest = line

    def add_earlier(self, at: Time, line: Line) -> Time:
        """Add a line at the time `at`, or as early as possible after it; answers the time of the line."""
        at = max(at, self.floor)
        self._insert(bisect_right(self._times, at), at, line)
        return at

    def pause(self, start: Time, end: Time) -> None:
        """The process did not run from `start` to `end`; what follows, up to `resume`, arrived then."""
        start = max(start, self.floor)
        self._insert(bisect_right(self._times, start), start, Stall(0, seconds(end - start)))
        self._resumed = end
        self._newest = None

    def resume(self) -> None:
        """Everything that arrived during the pause has been read."""
        self._resumed = None

    def was_pong(self, connection: str) -> None:
        """The message that was added last was a pong of this connection."""
        newest = self._newest
        if isinstance(newest, MessageLine) and newest.connection == connection:
            self.held -= len(self._lines.pop())
            self._insert(len(self._lines), self._times.pop(), PongLine(0, connection, newest.stage))

    def take(self) -> Iterable[bytes]:
        """All lines that wait, as the file has them; the caller moves the floor.

        Very many may wait while an opening is written. So the parts are made when they are read, by whoever
        has the time.
        """
        lines, self._lines = self._lines, []
        self._times = array("q")
        self._newest = None
        self.held = 0
        return _in_parts(lines)

    def _insert(self, index: int, at: Time, line: Line) -> None:
        self._times.insert(index, at)
        self._lines.insert(index, self._encoded(at, line))

    def _encoded(self, at: Time, line: Line) -> bytes:
        line.t = seconds(at - self.zero)
        text = self._encode(line) + b"\n"
        self.held += len(text)
        return text


def _in_parts(lines: list[bytes]) -> Iterable[bytes]:
    """The lines, put together a few thousand at a time, and freed as they are read."""
    lines.reverse()
    while lines:
        part = lines[-_LINES_OF_PART:]
        del lines[-_LINES_OF_PART:]
        part.reverse()
        yield b"".join(part)
