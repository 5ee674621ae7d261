"""A candidate with known faults: any monitor in a wrapper, so that the truth about it is known.

The wrapper keeps the pulses that the shim writes to, and copies them into the monitor's own pulses before
each call. The changes that it makes on the way are the faults. Whether a silence has a fault is decided by
chance, from the connection and from the sign of life that began the silence, and from nothing else.
"""

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from shim.model import (
    Confirmation,
    Connection,
    Decision,
    Duration,
    Monitor,
    Monitors,
    MonitorType,
    Pings,
    Pulse,
    Request,
    Time,
)
from shim.simulate import draws
from shim.simulate.scenario import CandidateDefects, Defect, Scenario

_EARLY, _MISS = 1, 2


class _Watch(Pulse):
    """What the shim writes to, and the monitor's own pulse beside it."""

    __slots__ = ("connection", "inner", "key", "seen")

    def __init__(self, connection: Connection, inner: Pulse, key: int) -> None:
        super().__init__(inner.last_seen)
        self.connection = connection
        self.inner = inner
        inner.owner = self
        self.key = key
        # The last sign of life that was copied.
        self.seen = inner.last_seen


class _Faults:
    """Which silences have which fault."""

    def __init__(self, defects: CandidateDefects, seed: int) -> None:
        self.pings = defects.pings
        self._defects = defects
        self._seed = seed

    def key(self, connection: Connection) -> int:
        return draws.key(self._seed, crc32(connection.id.encode()) << 32 | _user(connection))

    def earlier(self, watch: _Watch, last_seen: Time) -> Duration:
        early = self._defects.early
        if early is None or not self._has(watch, early, _EARLY, last_seen):
            return 0
        return early.by

    def misses(self, watch: _Watch, last_seen: Time) -> bool:
        miss = self._defects.miss
        return miss is not None and self._has(watch, miss, _MISS, last_seen)

    def _has(self, watch: _Watch, defect: Defect, which: int, last_seen: Time) -> bool:
        if defect.by_user:
            key = draws.key(self._seed, which << 32 | _user(watch.connection))
            return draws.uniform(key, 0) < defect.share
        return draws.uniform(draws.key(watch.key, which), last_seen) < defect.share


def _user(connection: Connection) -> int:
    return crc32(connection.user.encode())


class DefectiveMonitor:
    """One monitor with its faults."""

    def __init__(self, real: Monitor, faults: _Faults) -> None:
        self._real = real
        self._faults = faults
        self._watches: dict[str, _Watch] = {}

    @property
    def next_wake(self) -> Time | None:
        return self._real.next_wake

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        inner = self._real.register(connection, now, last_seen)
        watch = _Watch(connection, inner, self._faults.key(connection))
        self._watches[connection.id] = watch
        self._copy(watch, last_seen)
        return watch

    def unregister(self, connection_id: str, now: Time) -> None:
        self._watches.pop(connection_id, None)
        self._real.unregister(connection_id, now)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        self._real.pong(connection_id, payload, now)

    def wake(self, now: Time) -> Iterable[Request]:
        for watch in self._watches.values():
            if watch.last_seen != watch.seen:
                self._copy(watch, watch.last_seen)
        return self._answer(self._real.wake(now))

    def confirmed(self, connection_id: str, evidence: Confirmation, now: Time) -> Iterable[Request]:
        return self._answer(self._real.confirmed(connection_id, evidence, now))

    def paused(self, start: Time, end: Time) -> None:
        self._real.paused(start, end)

    def _copy(self, watch: _Watch, last_seen: Time) -> None:
        watch.seen = last_seen
        watch.inner.last_seen = last_seen - self._faults.earlier(watch, last_seen)
        watch.inner.last_data = watch.inner.last_seen

    def _answer(self, requests: Iterable[Request]) -> list[Request]:
        """The monitor's requests, without pings if it has that fault, and without the missed timeouts."""
        kept: list[Request] = []
        for request in list(requests):
            if isinstance(request, Pings):
                if self._faults.pings:
                    kept.append(Pings([self._passed_on(pulse) for pulse in request.pulses]))
                continue
            if isinstance(request, Decision):
                watch = self._watches[request.connection_id]
                if self._faults.misses(watch, watch.seen):
                    # The monitor is made to believe in a sign of life, as long as this silence lasts.
                    at = request.at
                    watch.inner = self._real.register(watch.connection, at, at)
                    watch.inner.owner = watch
                    continue
                del self._watches[request.connection_id]
            kept.append(request)
        return kept

    def _passed_on(self, inner: Pulse) -> Pulse:
        """The pulse that the shim knows, with the ping that the monitor wants sent."""
        watch: _Watch = inner.owner
        watch.ping = inner.ping
        return watch


class DefectiveType:
    """Makes monitors of another type, each with its faults."""

    def __init__(self, real: MonitorType, defects: CandidateDefects, seed: int) -> None:
        self.name = real.name
        self.scope = real.scope
        self.Settings = real.Settings
        self._create = real.create
        self._faults = _Faults(defects, seed)

    def create(self, settings: Any, scope_id: str, start: Time) -> DefectiveMonitor:
        return DefectiveMonitor(self._create(settings, scope_id, start), self._faults)


def with_defects(scenario: Scenario) -> Monitors:
    """The two monitors of the settings, the candidate with its known faults, if it has any."""
    chosen, defects = scenario.settings.monitors.chosen, scenario.candidate
    if defects.early is None and defects.miss is None and defects.pings:
        return chosen
    kind, settings = chosen.candidate
    return Monitors(chosen.control, (DefectiveType(kind, defects, scenario.seed), settings))
