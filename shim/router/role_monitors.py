"""One role's monitors, and every call of them, guarded (R5: docs/design.md#r5).

A plugin may raise, answer nonsense, take too long or ask for no wake-up. A guarded call either
returns what the contract of `shim.model.monitor` promises or raises `CallFailed`.

Rules: docs/design.md#r1, docs/design.md#r2, docs/design.md#r3.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from shim.model import (
    Confirmation,
    Connection,
    Duration,
    Kind,
    Monitor,
    MonitorType,
    Pulse,
    Request,
    Role,
    Scope,
    Time,
)
from shim.router.time_integral import TimeIntegral
from shim.router.timer_queue import TimerQueue
from shim.router.validation import CallFailed, blame, check_pulse, shown

_PAUSES = 16
"""So many pauses of the process are remembered."""

STRIKES = 3
"""So many failures that concern no single connection, or slow calls, and the plugin is quarantined."""


class Instance:
    """One monitor, with the number of connections that it watches.

    `pauses_told`: it knows the pauses before this one, as far as they ended at `heard_since` or later.
    """

    __slots__ = (
        "discarded",
        "heard_since",
        "monitor",
        "pauses_told",
        "scope_id",
        "session_ended",
        "wake_at",
        "watched",
    )

    def __init__(self, monitor: Monitor, scope_id: str, heard_since: Time) -> None:
        self.discarded = False
        self.heard_since = heard_since
        self.monitor = monitor
        self.pauses_told = 0
        self.scope_id = scope_id
        self.wake_at: Time | None = None
        self.watched = 0
        self.session_ended = False


class Meter(Protocol):
    """Measures the CPU time of calls; the driver has one, replay none."""

    def start(self) -> None:
        """A call begins."""

    def over_limit(self) -> Duration | None:
        """The call has ended: its CPU time, if that was more than allowed."""


class RoleMonitors:
    """The monitors that run in one role.

    `pings` counts, for each kind of connection, what they asked for, be it sent or recorded.
    `on_slow(call, cpu)` gets each call that took more CPU time than the meter allows; such a call
    cannot be interrupted, and its answer stands.
    """

    def __init__(
        self,
        role: Role,
        monitor_type: MonitorType,
        settings: Any,
        start: Time,
        *,
        meter: Meter | None = None,
        on_slow: Callable[[str, Duration], None] | None = None,
    ) -> None:
        self.role = role
        # A sweep has an order of its own (R1), the monitors of sessions among each other have none.
        self.by_deadline = role is Role.CANDIDATE or monitor_type.scope is Scope.SESSION
        self.strikes = 0
        self.struck_at: Time | None = None
        self.quarantined = False
        self.pings = dict.fromkeys(Kind, 0)
        self.timers: TimerQueue[Instance] = TimerQueue()
        self._type = monitor_type
        self._settings = settings
        self._instances: dict[str, Instance] = {}
        self._watched = {kind: TimeIntegral(start) for kind in Kind}
        self._pauses: deque[tuple[Time, Time]] = deque(maxlen=_PAUSES)
        self._pause_count = 0
        self._meter = meter
        self._on_slow = on_slow

    def start(self, now: Time) -> None:
        """A monitor of the process begins with the process: its ticks count from then (R1)."""
        if self._type.scope is Scope.PROCESS:
            self.reschedule(self._instance("", now, now))

    def watched_until(self, kind: Kind, now: Time) -> Duration:
        """The sum, over connections of this kind, of the time for which they were watched here.

        Pauses of the process are left out: their heartbeats are swallowed (R3).
        """
        return self._watched[kind].until(now)

    def exhausted(self, now: Time) -> bool:
        """Whether it failed so often in this very instant that trying again leads nowhere."""
        return self.strikes >= STRIKES and self.struck_at == now

    def register(
        self, connection: Connection, now: Time, last_seen: Time
    ) -> tuple[Instance, Pulse]:
        """Let the connection's monitor watch it; the caller reschedules the instance.

        Raises CallFailed; then nothing watches.
        """
        if self.quarantined or self.exhausted(now):
            raise CallFailed("register", "the plugin failed too often")
        scope_id = "" if self._type.scope is Scope.PROCESS else connection.session
        instance = self._instance(scope_id, now, last_seen)
        pulse = check_pulse(self._call("register", instance.monitor, connection, now, last_seen))
        instance.watched += 1
        self._watched[connection.kind].add(+1, now)
        return instance, pulse

    def unregister(self, instance: Instance, connection: Connection, now: Time) -> None:
        self._watches_no_more(instance, connection, now)
        try:
            self._call("unregister", instance.monitor, connection.id, now)
            self.reschedule(instance)
        finally:
            self._drop_if_ended(instance)

    def dropped(self, instance: Instance, connection: Connection, now: Time) -> None:
        """The monitor has dropped a connection, by its decision or because it failed."""
        self._watches_no_more(instance, connection, now)
        self._drop_if_ended(instance)

    def _watches_no_more(self, instance: Instance, connection: Connection, now: Time) -> None:
        instance.watched -= 1
        self._watched[connection.kind].add(-1, now)

    def pong(self, instance: Instance, connection: Connection, payload: bytes, now: Time) -> None:
        self._call("pong", instance.monitor, connection.id, payload, now)

    def round_trip(self, instance: Instance, connection: Connection) -> Duration | None:
        """The last round trip that the monitor measured, if it measures any (`Monitor`)."""
        if not hasattr(instance.monitor, "round_trip"):
            return None
        answer = self._call("round_trip", instance.monitor, connection.id)
        return answer if type(answer) is int else None

    def wake(self, instance: Instance, now: Time) -> list[Request]:
        if instance.pauses_told != self._pause_count:
            self._tell_pauses(instance, now)
        # What `_call` does, spelled out: the one call that each session needs in each interval.
        meter = self._meter
        if meter is not None:
            meter.start()
        try:
            answer = instance.monitor.wake(now)
        except BaseException as error:
            raise blame("wake", error) from error
        if meter is not None and (cpu := meter.over_limit()) is not None and self._on_slow:
            self._on_slow("wake", cpu)
        return answer if type(answer) is list else self._requests("wake", answer)

    def confirmed(
        self, instance: Instance, connection: Connection, evidence: Confirmation, now: Time
    ) -> list[Request]:
        answer = self._call("confirmed", instance.monitor, connection.id, evidence, now)
        return self._requests("confirmed", answer)

    def paused(self, instance: Instance, now: Time) -> None:
        """Tell a monitor of the pauses that it does not know.

        An instance that was left out is told before it is woken or gets another connection.
        """
        if not instance.discarded:
            self._tell_pauses(instance, now)
            self.reschedule(instance)

    def _tell_pauses(self, instance: Instance, last_seen: Time) -> None:
        """Tell a monitor of the pauses that it does not know and that lie in a silence since `last_seen`.

        A mass reconnect makes very many monitors, none of which needs the pauses before.
        """
        since, told = instance.heard_since, instance.pauses_told
        instance.heard_since = min(since, last_seen)
        instance.pauses_told = self._pause_count
        first = self._pause_count - len(self._pauses)
        for number, (start, end) in enumerate(list(self._pauses), first):
            if end >= instance.heard_since and (number >= told or end < since):
                self._call("paused", instance.monitor, start, end)

    def leave_out(self, start: Time, end: Time) -> None:
        """Nothing was watched in a pause; to be called before anything that happens at its end."""
        for watched in self._watched.values():
            watched.leave_out(start, end)

    def remember_pause(self, start: Time, end: Time) -> None:
        """Monitors that are made later get the pause, too: they may watch connections that were silent then."""
        self._pauses.append((start, end))
        self._pause_count += 1

    def instances(self) -> list[Instance]:
        return list(self._instances.values())

    def discard(self, instance: Instance) -> None:
        """Never call this instance again; the next registration makes a fresh one."""
        instance.discarded = True
        self.timers.enter(instance, None)
        if self._instances.get(instance.scope_id) is instance:
            del self._instances[instance.scope_id]

    def quarantine(self) -> None:
        """Never call any instance of this plugin again."""
        self.quarantined = True
        for instance in self.instances():
            self.discard(instance)

    def session_ended(self, session: str) -> None:
        """The session's monitor goes with its last watched connection (R2)."""
        if (instance := self._instances.get(session)) is not None:
            instance.session_ended = True
            self._drop_if_ended(instance)

    def _drop_if_ended(self, instance: Instance) -> None:
        if instance.session_ended and not instance.watched:
            self.discard(instance)

    def _instance(self, scope_id: str, now: Time, last_seen: Time) -> Instance:
        instance = self._instances.get(scope_id)
        if instance is None:
            monitor = self._call("create", self._type, self._settings, scope_id, now)
            instance = self._instances[scope_id] = Instance(monitor, scope_id, last_seen)
        if instance.pauses_told != self._pause_count or last_seen < instance.heard_since:
            # An instance that fails in this call may fail later; it must not fail a connection now.
            with suppress(CallFailed):
                self._tell_pauses(instance, last_seen)
        instance.session_ended = False
        return instance

    def reschedule(self, instance: Instance, woken_at: Time | None = None) -> None:
        """Ask when the monitor wants to be woken next, `woken_at` if it just was. Raises CallFailed."""
        if instance.discarded:
            return
        try:
            due = instance.monitor.next_wake
        except BaseException as error:
            raise blame("next_wake", error) from error
        if due is None:
            if instance.watched:
                raise CallFailed(
                    "next_wake", f"asks for no wake-up while it watches {instance.watched}"
                )
        elif type(due) is not int:
            raise CallFailed("next_wake", f"answered {shown(due)}, not a time")
        elif woken_at is not None and due <= woken_at:
            raise CallFailed("next_wake", "asks to be woken at a time that has passed")
        self.timers.enter(instance, due)

    def _requests(self, call: str, answer: Any) -> list[Request]:
        try:
            return list(answer)
        except BaseException as error:
            raise blame(call, error) from error

    def _call(self, call: str, target: Any, *args: Any) -> Any:
        meter = self._meter
        if meter is not None:
            meter.start()
        try:
            answer = getattr(target, call)(*args)
        except BaseException as error:
            raise blame(call, error) from error
        if meter is not None and (cpu := meter.over_limit()) is not None and self._on_slow:
            self._on_slow(call, cpu)
        return answer
