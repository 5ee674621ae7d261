"""A whole capture as the oracle reads it: each connection's life, with every line at its place in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

SECOND = 1_000_000


IDENTITY = ("user", "kind", "package", "instance")
SIGNS_OF_LIFE = ("open", "message", "pong")  # `data` is not one: it speaks to the candidate alone


# ── 1. Time ──────────────────────────────────────────────────────────────────────────────────────
class Phase(IntEnum):
    """The order of what happens at one time: events, the control, the candidate, windows.

    At the end of a stall the events that fell into it come after the control's timers (R3).
    """

    EVENT = 0
    CONTROL = 1
    EVENT_IN_STALL = 2
    CANDIDATE = 3
    WINDOW = 4
    END = 5


class Stamp(NamedTuple):
    """A place in time: stamps compare as things happen.

    `stall` is the number of the stall at whose end this happens, else 0. It matters only between
    stalls that end at the same time (one without length right after another).
    """

    at: int
    stall: int
    phase: Phase


class Stall(NamedTuple):
    start: int
    end: int


@dataclass
class Connection:
    order: int
    id: str
    kind: str
    identity: tuple[str | None, ...]
    package: str | None
    lines: list[tuple[Stamp, str]] = field(default_factory=list)  # stamp and event, in order
    closed: Stamp | None = None  # the captured close
    closed_by: str | None = None  # its cause

    @property
    def opened(self) -> Stamp:
        return self.lines[0][0]


@dataclass
class Record:
    """The whole capture, stamped."""

    connections: dict[str, Connection] = field(default_factory=dict)
    stalls: list[Stall] = field(default_factory=list)
    end: Stamp = field(init=False)

    def timer(self, due: int, phase: Phase) -> Stamp:
        """When a timer runs: a stall holds every timer from its start on, to its end included."""
        for number, stall in enumerate(self.stalls, start=1):
            if stall.start <= due <= stall.end:
                return Stamp(stall.end, number, phase)
        return Stamp(due, 0, phase)

    def window_end(self, due: int) -> Stamp:
        """A window that ends inside a stall still ends at its own time."""
        stamp = self.timer(due, Phase.WINDOW)
        return stamp if stamp.at == due else Stamp(due, 0, Phase.WINDOW)


def micros(seconds: float) -> int:
    return round(seconds * SECOND)


def read_record(events: Sequence[dict[str, Any]]) -> Record:
    record = Record()
    for event in events:
        time, name = micros(event["t"]), event["event"]
        # Into a stall fall the lines after its own, to the last one with t <= its end.
        if record.stalls and time <= record.stalls[-1].end:
            stamp = Stamp(record.stalls[-1].end, len(record.stalls), Phase.EVENT_IN_STALL)
        else:
            stamp = Stamp(time, 0, Phase.EVENT)
        if name == "stall":
            record.stalls.append(Stall(time, time + micros(event["duration"])))
        elif name == "end":
            # All timers due at the end still run, then it is over.
            record.end = Stamp(stamp.at, len(record.stalls) + 1, Phase.END)
        else:
            if name == "open":
                identity = tuple(event.get(part) for part in IDENTITY)
                record.connections[event["connection"]] = Connection(
                    order=len(record.connections),
                    id=event["connection"],
                    kind=event["kind"],
                    identity=identity,
                    package=event.get("package"),
                )
            connection = record.connections[event["connection"]]
            connection.lines.append((stamp, name))
            if name == "close":
                connection.closed, connection.closed_by = stamp, event.get("cause")
    return record
