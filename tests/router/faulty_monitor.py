"""A monitor that fails on demand, in the call and in the way that a test says."""

from collections.abc import Callable, Iterable
from typing import Any

from shim.model import MonitorType, Pulse, Request, Scope, Time
from shim_per_session import PerSession, PerSessionSettings

CALLS = ("create", "register", "unregister", "pong", "wake", "confirmed", "paused", "next_wake")


class Runaway(KeyboardInterrupt):
    """Raised by a monitor that is called without end; the one thing a router lets through."""


Fault = Callable[[Callable[[], Any]], Any]
"""What a call does instead; it is given the real call."""


def raises(error: BaseException | type[BaseException]) -> Fault:
    def fault(real: Callable[[], Any]) -> Any:
        raise error

    return fault


def answers(value: Any) -> Fault:
    return lambda real: value


class FaultyType:
    """A monitor type whose calls do what `faults` says; every instance and call is counted."""

    name = "faulty"
    Settings = PerSessionSettings

    def __init__(self, real: MonitorType | None = None) -> None:
        self.real: MonitorType = real or PerSession()
        self.scope: Scope = self.real.scope
        self.faults: dict[str, Fault] = {}
        self.left: int | None = None
        """How many calls still fail; None: all."""
        self.calls: list[str] = []
        self.made: list[FaultyMonitor] = []

    def create(self, settings: Any, scope_id: str, start: Time) -> Any:
        def real() -> Any:
            self.made.append(FaultyMonitor(self, self.real.create(settings, scope_id, start)))
            return self.made[-1]

        return self.call("create", real)

    def call(self, name: str, real: Callable[[], Any]) -> Any:
        self.calls.append(name)
        if len(self.calls) > 20_000:
            raise Runaway(f"{name} is called without end")
        fault = self.faults.get(name)
        if fault is None or self.left == 0:
            return real()
        if self.left is not None:
            self.left -= 1
        return fault(real)


class FaultyMonitor:
    def __init__(self, type: FaultyType, real: Any) -> None:
        self._type = type
        self.real = real

    @property
    def next_wake(self) -> Time | None:
        answer: Time | None = self._type.call("next_wake", lambda: self.real.next_wake)
        return answer

    def register(self, *args: Any) -> Pulse:
        answer: Pulse = self._type.call("register", lambda: self.real.register(*args))
        return answer

    def unregister(self, *args: Any) -> None:
        self._type.call("unregister", lambda: self.real.unregister(*args))

    def pong(self, *args: Any) -> None:
        self._type.call("pong", lambda: self.real.pong(*args))

    def wake(self, now: Time) -> Iterable[Request]:
        answer: Iterable[Request] = self._type.call("wake", lambda: self.real.wake(now))
        return answer

    def confirmed(self, *args: Any) -> Iterable[Request]:
        answer: Iterable[Request] = self._type.call("confirmed", lambda: self.real.confirmed(*args))
        return answer

    def paused(self, *args: Any) -> None:
        self._type.call("paused", lambda: self.real.paused(*args))
