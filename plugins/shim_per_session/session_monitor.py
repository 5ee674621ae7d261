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

Rules: docs/design.md#r2, docs/design.md#r3, docs/design.md#r3b.
"""

from binascii import hexlify
from collections.abc import Iterable
from zlib import crc32

from shim.model import (
    SECOND,
    Close,
    Confirm,
    Confirmation,
    Connection,
    Decision,
    Duration,
    Forget,
    Pings,
    Pulse,
    Request,
    Time,
)
from shim_per_session.session_monitor_settings import PerSessionSettings

_GRID: Duration = SECOND // 50
"""Heartbeats of all sessions fall on multiples of it, so that many are woken at once."""

_IDS_OF_A_BEAT = 4096
"""More than a session has connections. The ids of a beat come again after 2**20 beats: half a year, by the
defaults."""

_PATIENCE = 3
"""A connection with unread bytes is judged when it was idle for this many timeouts (R3b)."""

_PAUSES = 1000
"""So many pauses are remembered; older ones lie before any silence that is still measured."""


class Watch(Pulse):
    """What the monitor knows of one connection, which it watches since `since`.

    `put_off` is a decision put off: the evidence of life it was put off for, and until when.
    """

    __slots__ = ("connection", "put_off", "round_trip", "since")

    def __init__(self, connection: Connection, now: Time, last_seen: Time) -> None:
        super().__init__(last_seen)
        self.connection = connection
        self.since = now
        self.put_off: tuple[Time, Time] | None = None
        self.round_trip: Duration | None = None

    @property
    def heard(self) -> Time:
        """The latest evidence of life."""
        return self.last_data if self.last_data > self.last_seen else self.last_seen


class PerSessionMonitor:
    """The state machine of one user session's monitor."""

    __slots__ = (
        "_last_beat",
        "_next_beat",
        "_pauses",
        "_settings",
        "_soonest",
        "_watches",
    )

    def __init__(self, settings: PerSessionSettings, session: str, start: Time) -> None:
        self._settings = settings
        # A session has few connections, and a dict for each session takes three times the memory.
        self._watches: tuple[Watch, ...] = ()
        # Long pauses of the process, each with its start and duration.
        self._pauses: tuple[tuple[Time, Duration], ...] = ()
        # A lone surrogate is no valid UTF-8, but a session id must not be able to make this raise.
        digest = crc32(session.encode("utf-8", "surrogatepass"))
        # Sessions that start together, as after a deploy, must not ping at one moment.
        self._next_beat: Time = (digest * (settings.heartbeat_interval // _GRID) >> 32) * _GRID
        self._next_beat = self._soonest = self._beat_from(start)
        self._last_beat: Time = start

    @property
    def next_wake(self) -> Time | None:
        if not self._watches:
            return None
        return self._soonest

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        watch = Watch(connection, now, last_seen)
        if self._watches:
            self._watches = (*self._without(connection.id), watch)
        else:
            self._next_beat = self._soonest = self._beat_from(now)
            self._watches = (watch,)
        deadline = last_seen + self._settings.timeout
        if deadline < self._soonest:
            self._soonest = deadline
        return watch

    def unregister(self, connection_id: str, now: Time) -> None:
        self._watches = self._without(connection_id)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        """Measure the round trip, if this answers the latest ping."""
        watch = self._find(connection_id)
        if watch is not None and watch.ping and payload == watch.ping:
            watch.round_trip = now - self._last_beat
            watch.ping = b""

    def round_trip(self, connection_id: str) -> Duration | None:
        """The last one that was measured."""
        watch = self._find(connection_id)
        return None if watch is None else watch.round_trip

    def _find(self, connection_id: str) -> Watch | None:
        for watch in self._watches:
            if watch.connection.id == connection_id:
                return watch
        return None

    def _without(self, connection_id: str) -> tuple[Watch, ...]:
        return tuple(watch for watch in self._watches if watch.connection.id != connection_id)

    def wake(self, now: Time) -> Iterable[Request]:
        requests: list[Request] = []
        timeout = self._settings.timeout
        if now >= self._next_beat:
            self._next_beat = self._beat_from(now + 1)  # those that a pause swallowed are lost
            self._last_beat = now
            requests.append(self._heartbeat())
        soonest = self._next_beat
        # A sign of life may end the putting off of a decision; then the deadline is not before this.
        if now + timeout < soonest:
            soonest = now + timeout
        for watch in self._watches:
            due = watch.last_seen + timeout  # what else there is only makes it later
            if due < soonest:
                if due <= now:
                    due = self._deadline(watch)
                if due <= now:
                    requests.append(Confirm(watch.connection.id))
                elif due < soonest:
                    soonest = due
        self._soonest = soonest
        return requests

    def _heartbeat(self) -> Pings:
        # Beats differ by their time, so that an idle session needs to keep no number for its ids.
        beat = self._next_beat // self._settings.heartbeat_interval
        for number, watch in enumerate(self._watches, beat * _IDS_OF_A_BEAT):
            watch.ping = hexlify((number & 0xFFFFFFFF).to_bytes(4))
        return Pings([*self._watches])

    def confirmed(self, connection_id: str, evidence: Confirmation, now: Time) -> Iterable[Request]:
        watch = self._find(connection_id)
        if watch is None:
            return ()
        timeout = self._settings.timeout
        if evidence.data_at is not None:
            watch.last_data = max(watch.last_data, evidence.data_at)
        if evidence.unread:
            patience_ends = watch.heard + self._paused_since(watch.heard) + _PATIENCE * timeout
            if now < patience_ends:
                until = min(now + self._settings.heartbeat_interval, patience_ends)
                watch.put_off = (watch.heard, until)
        deadline = self._deadline(watch)
        if deadline > now:
            self._soonest = min(self._soonest, deadline)
            return ()
        self._watches = self._without(connection_id)
        settings = self._settings
        close = Close(settings.close_code, settings.close_reason, settings.close_timeout)
        return (
            Decision(
                connection_id,
                at=now,
                deadline=deadline,
                silence=now - watch.heard,
                effects=(close, Forget()),
                pings=self._pings(watch, now),
            ),
        )

    def paused(self, start: Time, end: Time) -> None:
        if end - start <= self._settings.stall_threshold:
            return
        pauses = (*self._pauses[1 - _PAUSES :], (start, end - start))
        self._pauses = tuple(sorted(pauses))  # an earlier pause may be told later

    def _deadline(self, watch: Watch) -> Time:
        heard = watch.heard
        deadline = heard + self._settings.timeout + self._paused_since(heard)
        if watch.put_off is not None and watch.put_off[0] == heard:
            return max(deadline, watch.put_off[1])
        return deadline

    def _paused_since(self, heard: Time) -> Duration:
        """How long the server was paused after this evidence of life (R3; "before" is strict)."""
        return sum(duration for start, duration in self._pauses if heard < start)

    def _pings(self, watch: Watch, now: Time) -> tuple[Time, ...]:
        """When a connection was pinged in its silence: worked out from the rhythm, so nothing is kept.

        A heartbeat that fell into a pause came at its end, together with all others in it.
        """
        since = max(watch.heard, watch.since)
        sent = set(range(self._beat_from(since), now + 1, self._settings.heartbeat_interval))
        for start, duration in self._pauses:
            end = start + duration
            held_up = self._beat_from(start) < end
            sent = {at for at in sent if not start <= at < end}
            if held_up and since <= end <= now:
                sent.add(end)
        return tuple(sorted(sent))

    def _beat_from(self, time: Time) -> Time:
        """The first heartbeat at this time or later, in this session's own rhythm."""
        return time + (self._next_beat - time) % self._settings.heartbeat_interval
