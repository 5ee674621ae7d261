"""The legacy monitor with its faults: it is the control of the experiment (R1: docs/design.md#r1).

Two maps of connections, one sweep each `heartbeat_interval`, counted from the start:

    1. ping every open connection, glasses first, then apps;
    2. each connection that was silent for more than `timeout` times out: terminate it, drop it.

The monitor does not know whose connections it closes, and it takes a pause of the server for silence.

To look at a million connections takes a fifth of a second. So with very many the monitor looks for those
that may be silent at the next sweep beforehand, in parts, and the sweep has to look at few.

Rules: docs/design.md#r3.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shim.model import (
    SECOND,
    Confirmation,
    Connection,
    Decision,
    Duration,
    Kind,
    Note,
    Pings,
    Pulse,
    Request,
    Terminate,
    Time,
)

_TERMINATE = (Terminate(),)

AT_ONCE = 5_000
"""So many connections are looked at in one go: in a millisecond."""

_LATE = 32
"""A sweep that is later than such a part of the timeout looks at every connection."""


@dataclass(frozen=True, slots=True)
class LegacySettings:
    """The keys of `monitors.<role>` for this plugin."""

    heartbeat_interval: Duration = field(
        default=15 * SECOND, metadata={"description": "Time from one sweep to the next."}
    )
    timeout: Duration = field(
        default=45 * SECOND,
        metadata={"description": "A longer silence than this is a timeout, at the next sweep."},
    )
    stats_interval: Duration = field(
        default=60 * SECOND, metadata={"description": "Time between two lines of statistics."}
    )

    def __post_init__(self) -> None:
        names = ("heartbeat_interval", "timeout", "stats_interval")
        if wrong := [name for name in names if getattr(self, name) <= 0]:
            raise ValueError(*(f"{name}: must be longer than 0s" for name in wrong))


class _Watch(Pulse):
    """The pulse of the connection `id`, and the time since which the connection is watched."""

    __slots__ = ("id", "since")

    def __init__(self, id: str, now: Time, last_seen: Time) -> None:
        super().__init__(last_seen)
        self.id = id
        self.since = now


class _LookAhead:
    """Looks, from the sweep at `now` to the sweep at `sweep`, for the connections that may be silent then.

    Who was heard later than the timeout allows cannot be among these: a sign of life only ever makes a
    silence shorter. `next_look` is when the next part is to be looked at; None: all were.
    """

    def __init__(
        self, watches: Sequence[_Watch], now: Time, sweep: Time, timeout: Duration, at_once: int
    ) -> None:
        self._watches = watches
        self._begin = 0
        self._at_once = at_once
        self._last_sweep = sweep + timeout // _LATE
        self._heard_before = self._last_sweep - timeout
        self._step = max(1, (sweep - now) // (len(watches) // at_once + 2))
        self.next_look: Time | None = now + self._step
        self._found: list[_Watch] = []
        self._registered: list[_Watch] = []

    def look(self, now: Time) -> None:
        begin, self._begin = self._begin, self._begin + self._at_once
        before = self._heard_before
        part = self._watches[begin : self._begin]
        self._found += [watch for watch in part if watch.last_seen < before]
        self.next_look = now + self._step
        if self._begin >= len(self._watches):
            self.next_look, self._watches = None, ()

    def add(self, watch: _Watch) -> None:
        """A connection was registered meanwhile."""
        if watch.last_seen < self._heard_before:
            self._registered.append(watch)

    def found(self, now: Time) -> list[_Watch] | None:
        """Who may be silent at the sweep that comes `now`, by registration; None: that is not known."""
        if self.next_look is not None or now > self._last_sweep:
            return None
        return self._found + self._registered


class LegacyGlobalMonitor:
    """The state machine of the legacy monitor; the process has one.

    With more than `at_once` connections it is woken between the sweeps, too, and asks for nothing then.
    """

    def __init__(self, settings: LegacySettings, start: Time, at_once: int = AT_ONCE) -> None:
        self._settings = settings
        self._at_once = at_once
        self._ahead: _LookAhead | None = None
        self._start = start
        self._glasses: dict[str, _Watch] = {}
        self._apps: dict[str, _Watch] = {}
        # The most sweeps that can lie in a silence: the first may be late, the last decides.
        self._sweeps: deque[Time] = deque(
            maxlen=settings.timeout // settings.heartbeat_interval + 3
        )
        self._next_sweep = start + settings.heartbeat_interval
        self._next_stats = start + settings.stats_interval

    @property
    def next_wake(self) -> Time | None:
        """The next sweep or statistics, also while there is no connection, as in the original."""
        due = min(self._next_sweep, self._next_stats)
        if (ahead := self._ahead) is not None and ahead.next_look is not None:
            return min(due, ahead.next_look)
        return due

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        watch = _Watch(connection.id, now, last_seen)
        watches = self._glasses if connection.kind is Kind.GLASSES else self._apps
        watches[connection.id] = watch
        if self._ahead is not None:
            self._ahead.add(watch)
        return watch

    def unregister(self, connection_id: str, now: Time) -> None:
        self._glasses.pop(connection_id, None)
        self._apps.pop(connection_id, None)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        """Nothing to do: a pong is a sign of life like any other."""

    def wake(self, now: Time) -> Iterable[Request]:
        requests: list[Request] = []
        ahead = self._ahead
        if now >= self._next_sweep:
            self._next_sweep = self._following(now, self._settings.heartbeat_interval)
            self._sweeps.append(now)
            if watches := [*self._glasses.values(), *self._apps.values()]:
                requests.append(Pings(watches))
            requests += self._timeouts(watches, now)
            self._ahead = None
            if len(watches) > self._at_once:
                timeout = self._settings.timeout
                self._ahead = _LookAhead(watches, now, self._next_sweep, timeout, self._at_once)
        elif ahead is not None and ahead.next_look is not None and now >= ahead.next_look:
            ahead.look(now)
        if now >= self._next_stats:
            self._next_stats = self._following(now, self._settings.stats_interval)
            requests.append(
                Note(
                    f"Health monitor: {len(self._glasses)} glasses connections, "
                    f"{len(self._apps)} app connections"
                )
            )
        return requests

    def confirmed(self, connection_id: str, evidence: Confirmation, now: Time) -> Iterable[Request]:
        """Never called: this monitor asks for no confirmation."""
        return ()

    def paused(self, start: Time, end: Time) -> None:
        """The original does not notice (R3 is the candidate's)."""

    def _following(self, now: Time, interval: Duration) -> Time:
        """The next multiple of the interval from the start: all swallowed ticks become one late tick."""
        return now + interval - (now - self._start) % interval

    def _timeouts(self, watches: list[_Watch], now: Time) -> list[Decision]:
        timeout = self._settings.timeout
        decisions = []
        for watch in self._silent(watches, now - timeout, now):
            self.unregister(watch.id, now)
            since = max(watch.last_seen, watch.since)
            decisions.append(
                Decision(
                    watch.id,
                    at=now,
                    deadline=watch.last_seen + timeout,
                    silence=now - watch.last_seen,
                    effects=_TERMINATE,
                    pings=tuple(at for at in self._sweeps if at >= since),
                )
            )
        return decisions

    def _silent(self, watches: list[_Watch], heard_before: Time, now: Time) -> list[_Watch]:
        """Who of them was not heard since then: glasses first, then apps, each by registration."""
        found = None if self._ahead is None else self._ahead.found(now)
        if found is None:
            return [watch for watch in watches if watch.last_seen < heard_before]
        silent = [watch for watch in found if watch.last_seen < heard_before]
        return [
            watch
            for watched in (self._glasses, self._apps)
            for watch in silent
            if watched.get(watch.id) is watch
        ]
