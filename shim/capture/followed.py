"""The captured connections, and the lines with which the next file begins.

Rules: docs/design.md#r3, docs/design.md#r3b.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from shim.capture.format import CloseLine, Data, HeaderLine, Line, OpenLine, Stall
from shim.model import Closing, Time, seconds

_DATA = 1000
"""The most pieces of evidence besides signs of life that are remembered for one connection."""


@dataclass(slots=True, eq=False)
class Followed:
    """A connection: what its first line says, and what the next file has to know of it."""

    facts: OpenLine
    last_seen: Time
    data: tuple[Time, ...] = ()
    """The times of what was evidence of life since `last_seen`, and maybe some from before it."""
    stage: str | None = None
    """The stage it was given since its last line."""
    judged: Time | None = None
    """The silence that had the last verdict."""
    ended: bool = False
    """Its close has been captured."""
    closing: Closing | None = None
    """That close, by a monitor, while the verdict is still to come."""

    def add_data(self, at: Time) -> None:
        """Each counts: it may have come just in time to put off a decision (R3b)."""
        self.data = (*(earlier for earlier in self.data if earlier > self.last_seen), at)[-_DATA:]

    def news(self) -> str | None:
        """The changed stage, once."""
        stage, self.stage = self.stage, None
        return stage


def opening(
    header: HeaderLine,
    open_now: list[tuple[Time, tuple[Time, ...], OpenLine, Closing | None]],
    pauses: list[tuple[Time, Time]],
    zero: Time,
) -> Iterator[bytes]:
    """The header, and what happened before the file began; encoded by the sink's thread."""
    encode = msgspec.json.Encoder().encode
    # A pause concerns what was seen strictly before its start (R3): at one time, openings go first.
    lines: list[tuple[Time, int, Line]] = [
        (start, 2, Stall(0, seconds(end - start))) for start, end in pauses
    ]
    for last_seen, data, facts, closing in open_now:
        lines.append((last_seen, 0, facts))
        lines += [(at, 1, Data(0, facts.connection)) for at in data if at > last_seen]
        if closing is not None:
            lines.append((closing.at, 3, CloseLine(0, facts.connection, closing.cause)))
    lines.sort(key=lambda line: line[:2])
    yield encode(header) + b"\n"
    for at, _, line in lines:
        line.t = seconds(at - zero)
        yield encode(line) + b"\n"
