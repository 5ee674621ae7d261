"""The capture of a simulation: connections that had decisions, what came back, and a sample of users.

Whether a connection will have a decision is known only later, so its lines wait until then. A connection
that the router need not know for a while ends in the capture, by the application, and is another connection
afterwards: `c7.1`, `c7.1~2`, …
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec

from shim.capture.format import VERSION, CloseLine, End, Header, Line, Message, Open, Pong, Stall
from shim.model import MICROSECOND, SECOND, Cause, Duration, Time, seconds
from shim.router import Decided, Observer, handles
from shim.simulate.link import SimulatedConnection
from shim.simulate.scenario import Scenario

_PATIENCE: Duration = 900 * SECOND
"""What a connection without decision did longer ago than this is forgotten, but its last sign of life."""

_Entry = tuple[Time, int, bytes]


class SimulationRecorder:
    """Gets what a capture holds; times are the server's. This class records nothing."""

    def opened(self, connection: SimulatedConnection, now: Time) -> None: ...

    def heard(self, connection: SimulatedConnection, pong: bool, now: Time) -> None: ...

    def closed(self, connection: SimulatedConnection, cause: Cause, now: Time) -> None:
        """The connection is gone, or (by the application) nothing more of it is recorded."""

    def paused(self, start: Time, duration: Duration) -> None: ...


@dataclass(slots=True)
class _Stint:
    """What is known to the router of one connection, from one time to another."""

    open: Open
    since: Time
    keep: bool
    lines: list[_Entry] = field(default_factory=list)


class CaptureFile(SimulationRecorder, Observer):
    """Writes to an open binary file; call `write` now and then, and `end` at the end.

    As an observer it learns on which connections a monitor decides: they are written.
    """

    def __init__(self, file: BinaryIO, scenario: Scenario, sample: float) -> None:
        self._file = file
        self._sample = sample
        self._encode = msgspec.json.Encoder().encode
        self._stints: dict[str, _Stint] = {}
        self._ready: list[_Entry] = []
        self._number = 0
        self._put(Header(VERSION, scenario.epoch / SECOND))

    # -- What the server tells ------------------------------------------------------------------------

    def opened(self, connection: SimulatedConnection, now: Time) -> None:
        about, stint = connection.connection, connection.stint
        name = about.id if stint == 1 else f"{about.id}~{stint}"
        line = Open(
            t=seconds(now),
            connection=name,
            user=about.user,
            session=about.session,
            kind=about.kind,
            package=about.package,
        )
        link = connection.link
        # A client that may come back after a timeout belongs to the record of that timeout.
        keep = link.user.sample < self._sample or link.pending_until >= now
        self._stints[about.id] = _Stint(line, now, keep)
        self._add(self._stints[about.id], now, line)

    def heard(self, connection: SimulatedConnection, pong: bool, now: Time) -> None:
        if (stint := self._stints.get(connection.id)) is not None:
            kind = Pong if pong else Message
            self._add(stint, now, kind(seconds(now), stint.open.connection))

    def closed(self, connection: SimulatedConnection, cause: Cause, now: Time) -> None:
        if (stint := self._stints.pop(connection.id, None)) is not None:
            if cause in (Cause.CONTROL, Cause.CANDIDATE):
                now += MICROSECOND  # the decision comes first
            self._add(stint, now, CloseLine(seconds(now), stint.open.connection, cause))

    def paused(self, start: Time, duration: Duration) -> None:
        self._ready.append(self._entry(start, Stall(seconds(start), seconds(duration))))

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        stint = self._stints.get(decided.connection.id)
        if stint is not None and not stint.keep:
            stint.keep = True
            self._ready += stint.lines
            stint.lines.clear()

    # -- The file -------------------------------------------------------------------------------------

    def write(self, now: Time) -> None:
        """Write the lines before which no other line can come any more."""
        waiting = [stint for stint in self._stints.values() if not stint.keep]
        for stint in waiting:
            self._forget(stint, now - _PATIENCE)
        until = min((stint.since for stint in waiting), default=now)
        self._ready.sort()
        written = bisect_left(self._ready, (until,))
        self._file.writelines(line for _, _, line in self._ready[:written])
        del self._ready[:written]

    def end(self, now: Time) -> None:
        """Write the last lines. Connections that never had a decision are left out."""
        self._stints.clear()
        self.write(now + 1)
        self._put(End(seconds(now)))

    def _forget(self, stint: _Stint, until: Time) -> None:
        """Let the connection begin with its last sign of life before `until`."""
        known = bisect_left(stint.lines, (until,))
        if known > 1:
            stint.since, number, _ = stint.lines[known - 1]
            stint.open.t = seconds(stint.since)
            first = (stint.since, number, self._encode(stint.open) + b"\n")
            stint.lines[:known] = [first]

    def _add(self, stint: _Stint, at: Time, line: Line) -> None:
        (self._ready if stint.keep else stint.lines).append(self._entry(at, line))

    def _entry(self, at: Time, line: Line) -> _Entry:
        self._number += 1
        return at, self._number, self._encode(line) + b"\n"

    def _put(self, line: Header | End) -> None:
        self._file.write(self._encode(line) + b"\n")
