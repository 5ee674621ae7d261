"""The replay: the router, driven by a capture instead of a clock (docs/design.md#contract-capture).

Before an event at `t` every timer due before `t` runs, each at its own time. A stall swallows timers
and delays events. So the end of a stall runs in three parts: windows and the control's timers when the
stall is read, then the events inside the stall, then the candidate's timers when the first event after
the stall, or the end, is read.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ulp

from shim.capture.format import CloseEvent, Data, Event, Message, Open, Pong, Stall
from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRules
from shim.compare.outcomes import Outcomes
from shim.model import (
    Cause,
    Connection,
    Duration,
    Kind,
    Monitors,
    Role,
    ShimError,
    Stage,
    Time,
)
from shim.replay.result import ReplayResult
from shim.router import Router, Tracked
from shim.router.port import NO_SOCKET

_NEVER: Time = 1 << 62
_LONGEST = 1e9
"""Seconds. The control ticks all the time: a wrong exponent would keep the replay ticking for ever."""

_AT_ONCE = 10_000
"""Events: a replay goes through so many before the next one has its turn."""

_NOISE = 0.0005
"""Microseconds; sums of floats may miss a whole microsecond by this much, far less than a seventh decimal."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What a replay judges by; durations in microseconds."""

    monitors: Monitors
    tolerance: Duration
    window: Duration
    return_window: Duration
    expected: ExpectedRules


class CaptureError(ShimError):
    """An event that cannot follow the events before it; `path` is the wrong key."""

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


class Replay:
    """Feed it the events of one capture in their order; after `end` it has the result.

    `result` collects what the router finds out; whoever wants to see more gives another one.
    """

    def __init__(
        self, settings: ReplaySettings, acting: Role | None, result: ReplayResult | None = None
    ) -> None:
        self.result = ReplayResult() if result is None else result
        self._router = Router(
            settings.monitors,
            comparator=Comparator(
                tolerance=settings.tolerance, window=settings.window, expected=settings.expected
            ),
            outcomes=Outcomes(settings.return_window, settings.monitors.control_patience),
            observer=self.result,
            start=0,
        )
        self._acts = acting is not None
        self._stage = Stage.LIVE if acting is Role.CANDIDATE else Stage.SHADOW
        # Every id ever seen; None: closed in the capture.
        self._connections: dict[str, Tracked | None] = {}
        self._last: Time = 0
        self._due: Time = self._next_due()
        self._stall_ends: Time | None = None
        self.ended = False

    def feed(self, events: Iterable[Event]) -> None:
        """Play the events. Raises CaptureError at the first impossible event."""
        connections = self._connections
        for event in events:
            time = _microseconds(event.t, "t")
            if time < self._last:
                raise CaptureError(f"time goes backwards, from {self._last / 1e6:g} s", "t")
            if self.ended:
                raise CaptureError("an event after the end")
            self._last = time
            if self._stall_ends is not None:
                time = self._within_stall(time, event)
            elif time > self._due:
                self._advance(time)
            kind = type(event)
            if kind is Message or kind is Pong:
                tracked = connections.get(event.connection)  # type: ignore[union-attr]
                if tracked is None:
                    raise self._unknown(event.connection)  # type: ignore[union-attr]
                if tracked.closed_by is None:
                    tracked.last_activity = time
                    tracked.control.last_seen = tracked.candidate.last_seen = time
                    if tracked.alert:
                        self._router.alerted(tracked, time)
                        self._due = self._next_due()
                else:
                    self.result.after_close += 1
                    self._router.spoke_after_close(tracked, time)
            else:
                self._rare(event, time)

    def _rare(self, event: Event, time: Time) -> None:
        if isinstance(event, Open):
            self._open(event, time)
        elif isinstance(event, Data | CloseEvent):
            tracked = self._connections.get(event.connection)
            if tracked is None:
                raise self._unknown(event.connection)
            if tracked.closed_by is not None:
                self.result.after_close += 1
            elif isinstance(event, Data):
                self._router.data(tracked, time)
            if isinstance(event, CloseEvent):
                self._close(event, tracked, time)
        elif isinstance(event, Stall):
            self._begin_stall(event, time)
        else:
            self._end(time)
        self._due = self._next_due()

    def _open(self, event: Open, time: Time) -> None:
        if event.connection in self._connections:
            raise CaptureError(f"connection {event.connection!r} was opened before", "connection")
        if event.kind is Kind.APP and not event.package:
            raise CaptureError("an app needs its package", "package")
        package = event.package if event.kind is Kind.APP else None
        connection = Connection(
            id=event.connection,
            kind=event.kind,
            user=event.user,
            session=event.session,
            package=package,
            instance=event.instance,
        )
        self.result.connections += 1
        self._connections[event.connection] = self._router.open(
            connection, NO_SOCKET, time, self._stage, act=self._acts
        )

    def _close(self, event: CloseEvent, tracked: Tracked, time: Time) -> None:
        self._router.close(tracked, time)
        self._connections[event.connection] = None
        if event.cause not in (Cause.CONTROL, Cause.CANDIDATE):
            self.result.healthy += event.connection not in self.result.decided

    def _begin_stall(self, event: Stall, time: Time) -> None:
        duration = _microseconds(event.duration, "duration")
        if duration < 0:
            raise CaptureError("a stall cannot last less than nothing", "duration")
        ends = self._stall_ends = time + duration
        self._router.paused(time, ends)
        self._router.step_control(ends)

    def _within_stall(self, time: Time, event: Event) -> Time:
        """The time of an event that is read after a stall."""
        assert self._stall_ends is not None
        ends = self._stall_ends
        if isinstance(event, Stall) and time < ends:
            raise CaptureError(f"overlaps the stall that ends at {ends / 1e6:g} s", "t")
        if time <= ends and not isinstance(event, Stall):
            return ends
        self._finish_stall()
        if time > self._due:
            self._advance(time)
        return time

    def _finish_stall(self) -> None:
        if self._stall_ends is not None:
            self._router.step_candidate(self._stall_ends)
            self._stall_ends = None
            self._due = self._next_due()

    def _end(self, time: Time) -> None:
        self._finish_stall()
        self._advance(time + 1)
        self._router.shutdown(time)
        self.ended = True
        self.result.healthy += sum(
            tracked is not None and id not in self.result.decided
            for id, tracked in self._connections.items()
        )

    def last_activity(self, connection_id: str) -> Time | None:
        """When the present silence of an open connection began; None: it is not open."""
        tracked = self._connections.get(connection_id)
        return None if tracked is None else tracked.last_activity

    def _advance(self, until: Time) -> None:
        """Run what is due before `until`."""
        due = self._router.advance(until)
        self._due = _NEVER if due is None else due

    def _next_due(self) -> Time:
        due = self._router.next_wake
        return _NEVER if due is None else due

    def _unknown(self, connection_id: str) -> CaptureError:
        if connection_id in self._connections:
            return CaptureError(f"connection {connection_id!r} was closed before", "connection")
        return CaptureError(f"connection {connection_id!r} is not known", "connection")


def feed_all(feeds: Sequence[Callable[[Iterable[Event]], None]], events: Iterable[Event]) -> None:
    """Play a capture to several replays in one pass; `feeds` are their methods `feed`.

    The first one plays each event before the next is read. Whatever is wrong with the events it finds out, and
    raises CaptureError. The others play what the first one has played, many events at a time.
    """
    first, *others = feeds
    first(_passed_on(others, events) if others else events)


def _passed_on(
    feeds: Sequence[Callable[[Iterable[Event]], None]], events: Iterable[Event]
) -> Iterator[Event]:
    played: list[Event] = []
    for event in events:
        yield event
        played.append(event)
        if len(played) == _AT_ONCE:
            for feed in feeds:
                feed(played)
            played.clear()
    for feed in feeds:
        feed(played)


def _microseconds(value: float, path: str) -> Time:
    """The seconds at this key as whole microseconds. Raises CaptureError if that is impossible."""
    if not -_LONGEST <= value <= _LONGEST:
        raise CaptureError("captures of more than 30 years are not replayed", path)
    microseconds = value * 1e6
    time = round(microseconds)
    # The second condition is for very late times, at which floats themselves are coarser than the noise.
    if not -_NOISE < microseconds - time < _NOISE and abs(value - time / 1e6) > ulp(value):
        raise CaptureError(f"{value!r} has more than six decimals", path)
    return time
