"""A lane: one role's monitors, and every call of them, guarded (R5).

A plugin may raise, answer nonsense, take too long or ask for no wake-up. A guarded call either
returns what the contract of `shim.model.monitor` promises or raises `CallFailed`.
"""

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from shim.model import (
    Connection,
    Duration,
    Evidence,
    Monitor,
    MonitorType,
    Pulse,
    Request,
    Role,
    Scope,
    ShimError,
    Time,
)
from shim.router.agenda import Agenda

STRIKES = 3
"""So many failures that concern no single connection, or slow calls, and the plugin is quarantined."""


_LAST_SEEN = vars(Pulse)["last_seen"]
_LAST_DATA = vars(Pulse)["last_data"]


class CallFailed(ShimError):
    """A monitor broke its contract in `call`."""

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        self.call = call
        self.reason = reason

    @property
    def about_connection(self) -> bool:
        """Whether the call concerned a single connection."""
        return self.call in ("register", "unregister", "pong", "confirmed")


class Instance:
    """One monitor, with the number of connections that it watches."""

    __slots__ = ("monitor", "scope_id", "session_ended", "wake_at", "watched")

    def __init__(self, monitor: Monitor, scope_id: str) -> None:
        self.monitor = monitor
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


class Lane:
    """The monitors that run in one role.

    `on_slow(call, cpu)` is told of calls that took more CPU time than the meter allows; such a call
    cannot be interrupted, and its answer stands.
    """

    def __init__(
        self,
        role: Role,
        monitor_type: MonitorType,
        settings: Any,
        start: Time,
        meter: Meter | None = None,
        on_slow: Callable[[str, Duration], None] | None = None,
    ) -> None:
        self.role = role
        self.strikes = 0
        self.quarantined = False
        self.recorded_pings = 0
        self.agenda: Agenda[Instance] = Agenda()
        self._type = monitor_type
        self._settings = settings
        self._instances: dict[str, Instance] = {}
        self._meter = meter
        self._on_slow = on_slow
        if monitor_type.scope is Scope.PROCESS:
            self._reschedule(self._instance("", start))

    def register(
        self, connection: Connection, now: Time, last_seen: Time
    ) -> tuple[Instance, Pulse]:
        """Let the connection's monitor watch it. Raises CallFailed; then nothing watches."""
        scope_id = "" if self._type.scope is Scope.PROCESS else connection.session
        instance = self._instance(scope_id, now)
        pulse = self._call("register", instance.monitor.register, connection, now, last_seen)
        if not isinstance(pulse, Pulse):
            raise CallFailed("register", f"answered {pulse!r:.80}, not a Pulse")
        plain: Any = type(pulse)
        if plain.last_seen is not _LAST_SEEN or plain.last_data is not _LAST_DATA:
            raise CallFailed("register", "answered a Pulse whose times are not plain slots")
        instance.watched += 1
        try:
            self._reschedule(instance)
        except CallFailed:
            self.discard(instance)
            raise
        return instance, pulse

    def unregister(self, instance: Instance, connection: Connection, now: Time) -> None:
        instance.watched -= 1
        self._call("unregister", instance.monitor.unregister, connection.id, now)
        self._reschedule(instance)
        self._drop_if_ended(instance)

    def dropped(self, instance: Instance) -> None:
        """The monitor decided on a connection and so has dropped it."""
        instance.watched -= 1
        self._drop_if_ended(instance)

    def pong(self, instance: Instance, connection: Connection, payload: bytes, now: Time) -> None:
        self._call("pong", instance.monitor.pong, connection.id, payload, now)

    def wake(self, instance: Instance, now: Time) -> list[Request]:
        meter = self._meter
        if meter is not None:
            return self._requests("wake", instance.monitor.wake, now)
        try:
            requests = instance.monitor.wake(now)
            return requests if type(requests) is list else list(requests)
        except BaseException as error:
            _blame("wake", error)

    def woken(self, instance: Instance, now: Time) -> None:
        """Everything that a wake asked for is done: enter the next."""
        due = self._reschedule(instance)
        if due is not None and due <= now:
            raise CallFailed("next_wake", "asks to be woken at a time that has passed")

    def confirmed(
        self, instance: Instance, connection: Connection, evidence: Evidence, now: Time
    ) -> list[Request]:
        return self._requests("confirmed", instance.monitor.confirmed, connection.id, evidence, now)

    def paused(self, instance: Instance, start: Time, end: Time) -> None:
        self._call("paused", instance.monitor.paused, start, end)
        self._reschedule(instance)

    def instances(self) -> list[Instance]:
        return list(self._instances.values())

    def discard(self, instance: Instance) -> None:
        """Never call this instance again; the next registration makes a fresh one."""
        self.agenda.enter(instance, None)
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

    def _instance(self, scope_id: str, now: Time) -> Instance:
        instance = self._instances.get(scope_id)
        if instance is None:
            monitor = self._call("create", self._type.create, self._settings, scope_id, now)
            instance = self._instances[scope_id] = Instance(monitor, scope_id)
        instance.session_ended = False
        return instance

    def _reschedule(self, instance: Instance) -> Time | None:
        try:
            due = instance.monitor.next_wake
        except BaseException as error:
            _blame("next_wake", error)
        if due is None:
            if instance.watched:
                raise CallFailed(
                    "next_wake", f"asks for no wake-up while it watches {instance.watched}"
                )
        elif type(due) is not int:
            raise CallFailed("next_wake", f"answered {due!r:.80}, not a time")
        self.agenda.enter(instance, due)
        return due

    def _requests(self, call: str, method: Callable[..., Any], *args: Any) -> list[Request]:
        requests = self._call(call, method, *args)
        if type(requests) is list:
            return requests
        try:
            return list(requests)
        except BaseException as error:
            _blame(call, error)

    def _call(self, call: str, method: Callable[..., Any], *args: Any) -> Any:
        meter = self._meter
        if meter is not None:
            meter.start()
        try:
            answer = method(*args)
        except BaseException as error:
            _blame(call, error)
        if meter is not None and (cpu := meter.over_limit()) is not None and self._on_slow:
            self._on_slow(call, cpu)
        return answer


def _blame(call: str, error: BaseException) -> NoReturn:
    """A plugin has no business with any exception but Ctrl-C: whatever else it raises is its failure."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    raise CallFailed(call, f"{type(error).__name__}: {error}"[:500]) from error
