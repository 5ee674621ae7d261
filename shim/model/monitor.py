"""What a monitor is: a state machine without I/O that gets events and the time.

A monitor plugin offers a `MonitorType`; the shim makes `Monitor`s from it and calls them. A monitor answers
with requests (`Pings`, `Confirm`, `Note`), with `Decision`s and with the time it next wants to be woken.
No monitor reads a clock, starts a task or touches a socket (docs/design.md#monitors).

Rules: docs/design.md#r2, docs/design.md#r3, docs/design.md#r3b, docs/design.md#r5,
docs/design.md#r15.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from shim.model.connection import Connection
from shim.model.time import Duration, Time


class Pulse:
    """One connection as the shim and one monitor share it: direct stores, no call, no look-up.

    The shim writes `last_seen`, the latest sign of life (the registration, a message or a pong), and
    `last_data`, the latest *other* evidence that the client lives (R3b: data in the kernel, pings of
    the client), which a monitor may ignore. The monitor writes `ping`, the payload of the pings that
    it asks for: at most 125 bytes (RFC 6455 section 5.5). `owner` belongs to the caller that
    registered the connection. A monitor may return a subclass with further slots, but these stay
    plain slots: no plugin code runs for a message.
    """

    __slots__ = ("last_data", "last_seen", "owner", "ping")

    last_seen: Time
    last_data: Time
    ping: bytes
    owner: Any

    def __init__(self, last_seen: Time) -> None:
        self.last_seen = last_seen
        self.last_data = last_seen
        self.ping = b""
        self.owner = None


@dataclass(slots=True, frozen=True)
class Confirmation:
    """The port's answer to `Confirm`; `None` means that the port cannot know.

    `data_at`: when the kernel last received data from the peer. `unread`: bytes wait unread, reading is
    paused, or a send backlog drains, so silence cannot be judged.
    """

    data_at: Time | None = None
    unread: bool = False


@dataclass(slots=True)
class Pings:
    """Send a WebSocket ping with the payload `Pulse.ping` to each of these connections, in this order.

    A heartbeat is one request, however many connections it pings. It names connections by their pulses,
    because to find each connection by its id would be the most expensive part of a heartbeat.
    """

    pulses: Sequence[Pulse]


@dataclass(slots=True)
class Confirm:
    """Ask the port for a `Confirmation` about a silent connection; `Monitor.confirmed` gets it at once."""

    connection_id: str


@dataclass(slots=True)
class Note:
    """A line for the log that is not about a single connection."""

    text: str


@dataclass(slots=True, frozen=True)
class Close:
    """Close gracefully: a code that may be sent, a reason of at most 123 bytes of UTF-8.

    When the handshake is not finished within `timeout`, the transport is aborted.
    """

    code: int
    reason: str
    timeout: Duration


@dataclass(slots=True, frozen=True)
class Terminate:
    """Abort the transport; the peer sees an abnormal closure (1006)."""


@dataclass(slots=True, frozen=True)
class Forget:
    """Drop the session's reference to this socket, if it still points at this very socket (R2)."""


Effect: TypeAlias = Close | Terminate | Forget


@dataclass(slots=True)
class Decision:
    """One monitor's "this connection timed out".

    `deadline` is the time of the timeout (`at` is later if the process was late); `silence` the time since
    the last evidence of life; `effects` what the monitor wants done; `pings` the times at which the
    monitor pinged the connection in that silence, oldest first, as far as it knows. A monitor that
    decides has dropped the connection.
    """

    connection_id: str
    at: Time
    deadline: Time
    silence: Duration
    effects: tuple[Effect, ...]
    pings: tuple[Time, ...] = ()


Request: TypeAlias = Pings | Confirm | Note | Decision


class Monitor(Protocol):
    """One instance of a monitor. Every method is synchronous and quick (R5: 50 ms of CPU at most).

    A monitor that measures round trips may also have `round_trip(connection_id) -> Duration | None`: the
    last measured round trip.
    """

    @property
    def next_wake(self) -> Time | None:
        """When `wake` is due; None only while no connection is watched."""

    def register(self, connection: Connection, now: Time, last_seen: Time) -> Pulse:
        """Watch a connection whose last sign of life was at `last_seen`; answer with its pulse."""

    def unregister(self, connection_id: str, now: Time) -> None:
        """Stop watching; unknown ids are ignored (the monitor may have decided already)."""

    def pong(self, connection_id: str, payload: bytes, now: Time) -> None:
        """A pong came. The pulse has its sign of life already; this call is for round trips."""

    def wake(self, now: Time) -> Iterable[Request]:
        """Do what is due at `now`, which is never before `next_wake`."""

    def confirmed(self, connection_id: str, evidence: Confirmation, now: Time) -> Iterable[Request]:
        """The answer to a `Confirm`; called in the same instant."""

    def paused(self, start: Time, end: Time) -> None:
        """The process did not run from `start` to `end`: no silence of the clients (R3).

        A monitor is told of an earlier pause, too, before it gets a connection that was silent then.
        """


class Scope(Enum):
    """How many instances of a monitor there are."""

    PROCESS = "process"
    SESSION = "session"


class MonitorType(Protocol):
    """What a plugin offers: a named kind of monitor with its settings.

    `Settings` is a dataclass whose fields, defaults and `description` metadata are the keys of the
    settings file; fields typed `Duration` are written `15s` there; `__post_init__` raises one
    ValueError for wrong values, with one argument for each mistake: `<field>: <reason>`, or only the
    reason if the mistake is about several fields.
    """

    @property
    def name(self) -> str:
        """The name in the settings."""

    @property
    def scope(self) -> Scope: ...

    @property
    def Settings(self) -> type[Any]: ...  # noqa: N802

    def create(self, settings: Any, scope_id: str, start: Time) -> Monitor:
        """A new instance: for the process (`scope_id` is empty) or for the session of that id."""


@dataclass(frozen=True, slots=True)
class Monitors:
    """The two monitors, each with its settings; without a control the shim runs retired."""

    control: tuple[MonitorType, Any] | None
    candidate: tuple[MonitorType, Any]

    @property
    def control_patience(self) -> Duration:
        """The longest silence that the control lets pass: its timeout and one interval (R15).

        0 without a control; settings that a plugin does not have count as 0.
        """
        if self.control is None:
            return 0
        _, settings = self.control
        timeout: Duration = getattr(settings, "timeout", 0)
        interval: Duration = getattr(settings, "heartbeat_interval", 0)
        return timeout + interval
