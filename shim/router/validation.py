"""What a plugin answers, looked at before anything is done with it (R5: docs/design.md#r5).

A request is taken only if it is exactly one of the model's types: then reading it runs no code of
the plugin. Everything else is the plugin's failure in the call that it answers.
"""

from collections.abc import Iterable
from typing import Any, Final

from shim.model import (
    Close,
    Confirm,
    Decision,
    Forget,
    Note,
    Pings,
    Pulse,
    ShimError,
    Terminate,
    Time,
)

_ABOUT_CONNECTION = frozenset(("register", "unregister", "pong", "confirmed"))
LONGEST_PING: Final = 125
"""Bytes (RFC 6455 section 5.5)."""

_PLAIN = vars(Pulse)


class CallFailed(ShimError):
    """A monitor broke its contract in `call`."""

    def __init__(self, call: str, reason: str) -> None:
        super().__init__(f"{call}: {reason}")
        self.call = call
        self.reason = reason

    @property
    def about_connection(self) -> bool:
        """Whether the call concerned a single connection."""
        return self.call in _ABOUT_CONNECTION


def blame(call: str, error: BaseException) -> CallFailed:
    """A plugin has no business with any exception but Ctrl-C: whatever else it raises is its failure."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    try:
        reason = f"{type(error).__name__}: {error}"[:500]
    except BaseException:
        reason = type(error).__name__
    return CallFailed(call, reason)


def shown(answer: object) -> str:
    """A stranger's object, for the record."""
    try:
        return repr(answer)[:80]
    except BaseException:
        return f"an unprintable {type(answer).__name__}"


def not_watched(call: str, answer: object) -> CallFailed:
    """The answer is about a connection that the monitor does not watch."""
    return CallFailed(call, f"answered about a connection it does not watch: {shown(answer)}")


def check_pulse(answer: Any) -> Pulse:
    """A pulse whose slots are plain ones, so that no plugin code runs per message or ping."""
    kind: Any = type(answer)
    if not issubclass(kind, Pulse):
        raise CallFailed("register", f"answered {shown(answer)}, not a Pulse")
    plain = (
        kind.last_seen is _PLAIN["last_seen"]
        and kind.last_data is _PLAIN["last_data"]
        and kind.owner is _PLAIN["owner"]
        and kind.ping is _PLAIN["ping"]
        and kind.__setattr__ is object.__setattr__
        and kind.__getattribute__ is object.__getattribute__
    )
    if not plain:
        raise CallFailed("register", "answered a Pulse whose times are not plain slots")
    try:
        are_times = type(answer.last_seen) is int and type(answer.last_data) is int
    except AttributeError:
        raise CallFailed("register", "answered a Pulse without times") from None
    if not are_times:
        raise CallFailed("register", "answered a Pulse whose times are none")
    pulse: Pulse = answer
    return pulse


def check_requests(call: str, requests: Iterable[object], now: Time) -> None:
    """Raise CallFailed unless each of them can be fulfilled; then none is."""
    for request in requests:
        kind = type(request)
        if kind is Pings:
            if type(request.pulses) not in (list, tuple):  # type: ignore[attr-defined]
                raise CallFailed(call, f"asked for pings to nobody: {shown(request)}")
            continue
        if kind is Decision:
            _check_decision(call, request, now)  # type: ignore[arg-type]
        elif kind is Note:
            if type(request.text) is not str:  # type: ignore[attr-defined]
                raise CallFailed(call, f"noted what is no text: {shown(request)}")
            continue
        elif kind is not Confirm:
            raise CallFailed(call, f"answered {shown(request)}")
        elif call == "confirmed":
            raise CallFailed(call, "asked for confirmation of a confirmation")
        if type(request.connection_id) is not str:  # type: ignore[attr-defined]
            raise CallFailed(call, f"answered about no connection: {shown(request)}")


def _check_decision(call: str, decision: Decision, now: Time) -> None:
    """Refuse a decision that closes nothing, or that has another time than now."""
    if type(decision.at) is not int or decision.at != now or type(decision.deadline) is not int:
        raise CallFailed(call, f"decided with wrong times: {shown(decision)}")
    effects = decision.effects
    if type(effects) is not tuple or not all(
        type(effect) in (Close, Terminate, Forget) for effect in effects
    ):
        raise CallFailed(call, f"decided with effects that are none: {shown(effects)}")
    if not any(type(effect) in (Close, Terminate) for effect in effects):
        raise CallFailed(call, "decided without closing")
    for effect in effects:
        if type(effect) is Close and not (
            type(effect.code) is int and type(effect.reason) is str and type(effect.timeout) is int
        ):
            raise CallFailed(call, f"asked for a close that cannot be sent: {shown(effect)}")
