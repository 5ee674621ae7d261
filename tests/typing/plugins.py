"""A plugin: a monitor without I/O, its type, and an observer of the rare events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, assert_type

from shim.hooks import hookimpl
from shim.model import (
    SECOND,
    Close,
    Confirm,
    Confirmation,
    Connection,
    Decision,
    Duration,
    Evidence,
    Forget,
    Kind,
    Monitor,
    MonitorType,
    Pings,
    Pulse,
    Request,
    Role,
    Scope,
    Stage,
    Terminate,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
    from_seconds,
    seconds,
)


@dataclass(frozen=True)
class Patience:
    timeout: Duration = 60 * SECOND


class Patient:
    """Decides after a while, and asks first."""

    def __init__(self, settings: Patience) -> None:
        self._settings = settings
        self._pulses: dict[str, Pulse] = {}

    @property
    def next_wake(self) -> Time | None:
        if not self._pulses:
            return None
        assert_type(next(iter(self._pulses.values())).last_seen, int)
        return min(pulse.last_seen for pulse in self._pulses.values()) + self._settings.timeout

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        assert_type(connection.identity, tuple[str, Kind, str | None, str | None])
        assert_type(connection.package, str | None)
        return self._pulses.setdefault(connection.id, Pulse(last_seen))

    def unregister(self, connection_id: str, now: Time) -> None:
        self._pulses.pop(connection_id, None)

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None: ...

    def wake(self, now: Time) -> Iterable[Request]:
        yield Pings([*self._pulses.values()])
        yield from map(Confirm, self._pulses)

    def confirmed(self, connection_id: str, evidence: Confirmation, now: Time) -> Iterable[Request]:
        assert_type(evidence.data_at, int | None)
        assert_type(evidence.unread, bool)
        close = Close(1001, "gone", 5 * SECOND)
        effects = (close, Forget(), Terminate())
        return [Decision(connection_id, now, now, 0, effects)]

    def paused(self, start: Time, end: Time) -> None: ...


class PatientType:
    name: ClassVar[str] = "patient"
    scope: ClassVar[Scope] = Scope.SESSION
    Settings: ClassVar[type[Any]] = Patience

    def create(self, settings: Any, scope_id: str, start: Time) -> Monitor:
        return Patient(settings)


monitor: Monitor = Patient(Patience())
monitor_type: MonitorType = PatientType()
not_a_monitor: Monitor = object()  # type: ignore[assignment]
older_name: type[Confirmation] = Evidence


@hookimpl
def shim_monitor_types() -> Sequence[MonitorType]:
    return [PatientType()]


@hookimpl
def shim_verdict(verdict: Verdict) -> None:
    assert_type(verdict.name, VerdictName)
    assert_type(verdict.kind, VerdictKind)
    assert_type(verdict.skew, int | None)
    assert_type(verdict.first, Role | None)


assert_type(Stage.LIVE.acting, Role)
assert_type(Stage.LIVE.shadowing, Role | None)
assert_type(Role.CONTROL.other, Role)
assert_type(from_seconds(1.5), int)
assert_type(seconds(1), float)
