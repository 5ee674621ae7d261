"""The router's record of one connection, and its per-message path.

Rules: docs/design.md#r3, docs/design.md#r5, docs/design.md#r6, docs/design.md#r15.
"""

import sys
from collections.abc import Callable
from typing import Protocol

from shim.model import BY_CHANCE, Confirmation, Connection, Placement, Pulse, Role, Stage, Time
from shim.router.port import NO_CONFIRMATION, NO_SOCKET, Port
from shim.router.role_monitors import Instance

_CONTROL = Role.CONTROL


class _Listener(Protocol):
    def alerted(self, tracked: "Tracked", now: Time) -> None: ...


class Timer(Protocol):
    """The timer of whoever drives the router, as far as signs of life have to know it (R3).

    `due` is when it will come next. What happens later than that may be the first event after a pause of the
    process: `notice_pause` is to be called before that event counts.
    """

    due: Time

    def notice_pause(self, now: Time) -> None:
        """If the process did not run until `now`, do what comes first after a pause."""


class PunctualTimer:
    """The timer of virtual time: it never comes late."""

    def __init__(self) -> None:
        self.due: Time = sys.maxsize

    def notice_pause(self, now: Time) -> None: ...


class _Heartbeat:
    """What a heartbeat needs, side by side in memory: a hundred thousand connections fit no cache."""

    __slots__ = ("acting", "candidate_instance", "control_instance", "kind", "port")


class Tracked(_Heartbeat):
    """One connection from its registration until it is gone and its last episode is closed.

    `control` and `candidate` are the pulses that signs of life are written to; a monitor that does
    not watch has a pulse that is never read. `alert` makes the next sign of life take the slow path.
    `acting` is the monitor whose effects reach the socket (None: neither), `closed_by` the one that
    closed it, `failed` one that failed in a call about this connection. `placement`: how the flags
    placed the user (R15). `signs` counts the messages and pongs.
    """

    __slots__ = (
        "alert",
        "candidate",
        "closed_by",
        "connection",
        "control",
        "failed",
        "last_activity",
        "opened_at",
        "order",
        "placement",
        "signs",
        "spoke_after_close",
        "stage",
    )

    def __init__(
        self,
        connection: Connection,
        *,
        order: int,
        port: Port,
        stage: Stage,
        acting: Role | None,
        now: Time,
        placement: Placement = BY_CHANCE,
    ) -> None:
        self.placement = placement
        self.connection = connection
        self.kind = connection.kind
        self.order = order
        self.port = port
        self.stage = stage
        self.acting = acting
        self.opened_at = now
        self.last_activity = now
        self.signs = 0
        self.control = self.candidate = _UNREAD
        self.control_instance: Instance | None = None
        self.candidate_instance: Instance | None = None
        self.alert = False
        self.closed_by: Role | None = None
        self.failed: Role | None = None
        self.spoke_after_close = False

    @property
    def compared(self) -> bool:
        """Whether both monitors watch, and their decisions are compared."""
        return self.stage in (Stage.SHADOW, Stage.LIVE)

    def instance(self, role: Role) -> Instance | None:
        """The monitor instance that watches the connection in this role."""
        return self.control_instance if role is _CONTROL else self.candidate_instance

    def attach(self, role: Role, instance: Instance, pulse: Pulse) -> None:
        pulse.owner = self
        if role is _CONTROL:
            self.control_instance, self.control = instance, pulse
        else:
            self.candidate_instance, self.candidate = instance, pulse

    def detach(self, role: Role) -> None:
        if role is _CONTROL:
            self.control_instance, self.control = None, _UNREAD
        else:
            self.candidate_instance, self.candidate = None, _UNREAD

    def mute(self) -> None:
        """Let no sign of life reach the monitors any more; those that watch go on watching (R6)."""
        self.control = self.candidate = _UNREAD

    def unplug(self) -> None:
        """The socket has ended. Its port may be freed now: record and port no longer hold each other."""
        self.port = NO_SOCKET

    def evidence(self) -> Confirmation:
        return self.port.confirm() if self.closed_by is None else NO_CONFIRMATION


_UNREAD = Pulse(0)


def make_touch(
    clock: Callable[[], int], per_microsecond: int, listener: _Listener, timer: Timer
) -> Callable[[Tracked], None]:
    """Makes the per-message call: one clock read, direct stores, no plugin code (R5).

    All records share the call, so that a connection keeps nothing for it. The first call after a pause lets
    the control's due timers run before it counts (R3).
    """

    def touch(tracked: Tracked) -> None:
        now = clock() // per_microsecond
        if now > timer.due:
            timer.notice_pause(now)
        tracked.last_activity = tracked.control.last_seen = tracked.candidate.last_seen = now
        tracked.signs += 1
        if tracked.alert:
            listener.alerted(tracked, now)

    return touch
