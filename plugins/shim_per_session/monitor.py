"""The per-session monitor: one state machine for each user session (R2, R3, R3b).

What a wake does, in this order:

    heartbeat due    ping every watched connection with a fresh id
    deadline passed  ask `confirm`; on its answer
                       newer data than known   the deadline moves
                       bytes wait unread       put off by a heartbeat interval, while idle < 3 x timeout
                       else                    decide: close, forget

A deadline is `last evidence of life + timeout`, later by the pauses of the server since (R3). Pulses are
written behind the monitor's back, so a deadline is only ever later than the wake that was asked for it:
a wake that finds nothing due asks for the next.
"""

from collections.abc import Iterable
from zlib import crc32

from shim.model import (
    Close,
    Confirm,
    Connection,
    Decision,
    Duration,
    Evidence,
    Forget,
    Ping,
    Pulse,
    Request,
    Time,
)
from shim_per_session.settings import PerSessionSettings

_ID_STEP = 0x9E3779B1
"""Odd, so that adding it modulo 2**32 visits every 8-digit id before one comes twice."""

_PATIENCE = 3
"""A connection with unread bytes is judged all the same once it was idle for so many timeouts (R3b)."""


_PAUSES = 1000
"""So many pauses are remembered; older ones lie before any silence that is still measured."""


class Watch(Pulse):
    """What the monitor knows of one connection."""

    __slots__ = (
        "connection",
        "ping_id",
        "pinged_at",
        "put_off",
        "put_off_heard",
        "round_trip",
    )

    def __init__(self, connection: Connection, last_seen: Time) -> None:
        super().__init__(last_seen)
        self.connection = connection
        # A decision put off, and the evidence of life it was put off for.
        self.put_off: Time = last_seen
        self.put_off_heard: Time = last_seen
        self.ping_id: bytes | None = None
        self.pinged_at: Time = last_seen
        self.round_trip: Duration | None = None

    @property
    def heard(self) -> Time:
        """The latest evidence of life."""
        return self.last_data if self.last_data > self.last_seen else self.last_seen


class PerSessionMonitor:
    """The state machine of one user session's monitor."""

    __slots__ = (
        "_effects",
        "_next_beat",
        "_pauses",
        "_ping_ids",
        "_settings",
        "_soonest",
        "_watches",
    )

    def __init__(self, settings: PerSessionSettings, session: str, start: Time) -> None:
        self._settings = settings
        self._watches: dict[str, Watch] = {}
        # Long pauses of the process, each with its start and duration.
        self._pauses: tuple[tuple[Time, Duration], ...] = ()
        self._effects = (
            Close(settings.close_code, settings.close_reason, settings.close_timeout),
            Forget(),
        )
        digest = crc32(session.encode())
        self._ping_ids = digest
        # Sessions that start together, as after a deploy, must not ping in one breath.
        self._next_beat = start + (digest * settings.heartbeat_interval >> 32)
        self._soonest: Time = self._next_beat

    @property
    def next_wake(self) -> Time | None:
        if not self._watches:
            return None
        return self._soonest if self._soonest < self._next_beat else self._next_beat

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        if not self._watches:
            self._soonest = last_seen + self._settings.timeout
            if self._next_beat < now:
                self._next_beat = self._beat_after(now)
        watch = Watch(connection, last_seen)
        self._watches[connection.id] = watch
        self._soonest = min(self._soonest, last_seen + self._settings.timeout)
        return watch

    def unregister(self, connection_id: str, now: Time) -> None:
        self._watches.pop(connection_id, None)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        """Measure the round trip, if this answers the latest ping."""
        watch = self._watches.get(connection_id)
        if watch is not None and payload == watch.ping_id:
            watch.round_trip = now - watch.pinged_at
            watch.ping_id = None

    def wake(self, now: Time) -> Iterable[Request]:
        requests: list[Request] = []
        if now >= self._next_beat:
            self._next_beat = self._beat_after(now)
            self._ping_all(requests, now)
        timeout = self._settings.timeout
        soonest = self._next_beat
        for connection_id, watch in self._watches.items():
            due = watch.last_seen + timeout  # what else there is only makes it later
            if due <= now:
                due = self._deadline(watch)
                if due <= now:
                    requests.append(Confirm(connection_id))
                    continue
            if due < soonest:
                soonest = due
        self._soonest = soonest
        return requests

    def confirmed(self, connection_id: str, evidence: Evidence, now: Time) -> Iterable[Request]:
        watch = self._watches.get(connection_id)
        if watch is None:
            return ()
        timeout = self._settings.timeout
        if evidence.data_at is not None and evidence.data_at > watch.heard:
            watch.last_data = evidence.data_at
        if evidence.unread:
            patience_ends = watch.heard + self._paused_since(watch.heard) + _PATIENCE * timeout
            if now < patience_ends:
                watch.put_off = min(now + self._settings.heartbeat_interval, patience_ends)
                watch.put_off_heard = watch.heard
        deadline = self._deadline(watch)
        if deadline > now:
            self._soonest = min(self._soonest, deadline)
            return ()
        del self._watches[connection_id]
        return (Decision(connection_id, now, deadline, now - watch.heard, self._effects),)

    def paused(self, start: Time, end: Time) -> None:
        if end - start <= self._settings.stall_threshold:
            return
        self._pauses = (*self._pauses[1 - _PAUSES :], (start, end - start))

    def _deadline(self, watch: Watch) -> Time:
        heard = watch.heard
        deadline = heard + self._settings.timeout + self._paused_since(heard)
        if heard == watch.put_off_heard and watch.put_off > deadline:
            return watch.put_off
        return deadline

    def _paused_since(self, heard: Time) -> Duration:
        """How long the server was paused after this evidence of life (R3; "before" is strict)."""
        return sum(duration for start, duration in self._pauses if heard < start)

    def _ping_all(self, requests: list[Request], now: Time) -> None:
        ping_id = self._ping_ids
        for connection_id, watch in self._watches.items():
            ping_id = (ping_id + _ID_STEP) & 0xFFFFFFFF
            payload = b"%08x" % ping_id
            watch.ping_id = payload
            watch.pinged_at = now
            requests.append(Ping(connection_id, payload))
        self._ping_ids = ping_id

    def _beat_after(self, now: Time) -> Time:
        """The next heartbeat of this session's own rhythm; those a pause swallowed are lost."""
        interval = self._settings.heartbeat_interval
        return now + interval - (now - self._next_beat) % interval
