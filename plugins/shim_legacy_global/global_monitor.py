"""The legacy monitor with its faults: it is the control of the experiment (R1: docs/design.md#r1).

Two maps of connections, one sweep each `heartbeat_interval`, counted from the start:

    1. ping every open connection, glasses first, then apps;
    2. each connection that was silent for more than `timeout` times out: terminate it, drop it.

The monitor does not know whose connections it closes, and it takes a pause of the server for silence.

Rules: docs/design.md#r3.
"""

from collections import deque
from collections.abc import Iterable
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
    """A connection's pulse, and the time since which the connection is watched."""

    __slots__ = ("since",)

    def __init__(self, now: Time, last_seen: Time) -> None:
        super().__init__(last_seen)
        self.since = now


class LegacyGlobalMonitor:
    """The state machine of the legacy monitor; the process has one."""

    def __init__(self, settings: LegacySettings, start: Time) -> None:
        self._settings = settings
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
        return min(self._next_sweep, self._next_stats)

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        watch = _Watch(now, last_seen)
        watches = self._glasses if connection.kind is Kind.GLASSES else self._apps
        watches[connection.id] = watch
        return watch

    def unregister(self, connection_id: str, now: Time) -> None:
        if self._glasses.pop(connection_id, None) is None:
            self._apps.pop(connection_id, None)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        """Nothing to do: a pong is a sign of life like any other."""

    def wake(self, now: Time) -> Iterable[Request]:
        requests: list[Request] = []
        if now >= self._next_sweep:
            self._next_sweep = self._following(now, self._settings.heartbeat_interval)
            self._sweeps.append(now)
            if pulses := [*self._glasses.values(), *self._apps.values()]:
                requests.append(Pings(pulses))
            requests += self._timeouts(self._glasses, now)
            requests += self._timeouts(self._apps, now)
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

    def _timeouts(self, watches: dict[str, _Watch], now: Time) -> list[Decision]:
        timeout = self._settings.timeout
        latest = now - timeout
        silent = [(id, watch) for id, watch in watches.items() if watch.last_seen < latest]
        decisions = []
        for connection_id, watch in silent:
            del watches[connection_id]
            since = max(watch.last_seen, watch.since)
            decisions.append(
                Decision(
                    connection_id,
                    at=now,
                    deadline=watch.last_seen + timeout,
                    silence=now - watch.last_seen,
                    effects=_TERMINATE,
                    pings=tuple(at for at in self._sweeps if at >= since),
                )
            )
        return decisions
