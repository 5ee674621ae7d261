"""The router's record of one connection, and its per-message path."""

from collections.abc import Callable

from shim.model import Connection, Evidence, Pulse, Role, Stage, Time
from shim.router.lane import Instance
from shim.router.port import NO_EVIDENCE, Port

_Alert = Callable[["Tracked", Time], None]


class Tracked:
    """One connection from its registration until it is gone and its last episode is closed.

    `control` and `candidate` are the pulses that signs of life are written to; a monitor that does
    not watch has a pulse that nobody reads. `alert` makes the next sign of life take the slow path.
    `acting` is the monitor whose effects reach the socket (None: neither), `closed_by` the one that
    closed it, `failed` one that failed in a call about this connection. `by_percentage`: chance gave
    the user the stage (R15).
    """

    __slots__ = (
        "acting",
        "alert",
        "by_percentage",
        "candidate",
        "candidate_instance",
        "closed_by",
        "connection",
        "control",
        "control_instance",
        "ever_decided",
        "failed",
        "last_activity",
        "opened_at",
        "order",
        "port",
        "spoke_after_close",
        "stage",
    )

    def __init__(
        self,
        connection: Connection,
        order: int,
        port: Port,
        stage: Stage,
        acting: Role | None,
        now: Time,
        by_percentage: bool = True,
    ) -> None:
        self.by_percentage = by_percentage
        self.connection = connection
        self.order = order
        self.port = port
        self.stage = stage
        self.acting = acting
        self.opened_at = now
        self.last_activity = now
        self.control = self.candidate = _UNREAD
        self.control_instance: Instance | None = None
        self.candidate_instance: Instance | None = None
        self.alert = False
        self.closed_by: Role | None = None
        self.failed: Role | None = None
        self.ever_decided = False
        self.spoke_after_close = False

    def instance(self, role: Role) -> Instance | None:
        """The monitor instance that watches the connection in this role."""
        return self.control_instance if role is Role.CONTROL else self.candidate_instance

    def attach(self, role: Role, instance: Instance, pulse: Pulse) -> None:
        if role is Role.CONTROL:
            self.control_instance, self.control = instance, pulse
        else:
            self.candidate_instance, self.candidate = instance, pulse

    def detach(self, role: Role) -> None:
        if role is Role.CONTROL:
            self.control_instance, self.control = None, _UNREAD
        else:
            self.candidate_instance, self.candidate = None, _UNREAD

    def mute(self) -> None:
        """Let no sign of life reach the monitors any more; those that watch go on watching (R6)."""
        self.control = self.candidate = _UNREAD

    def evidence(self) -> Evidence:
        return self.port.confirm() if self.closed_by is None else NO_EVIDENCE


_UNREAD = Pulse(0)


def compose_touch(tracked: Tracked, clock: Callable[[], Time], alert: _Alert) -> Callable[[], None]:
    """The per-message call of a connection: one clock read, direct stores, no plugin code (R5)."""

    def touch() -> None:
        now = clock()
        tracked.last_activity = tracked.control.last_seen = tracked.candidate.last_seen = now
        if tracked.alert:
            alert(tracked, now)

    return touch
