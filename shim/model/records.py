"""What is kept of a comparison: verdicts, late decisions, outcomes and failures (DESIGN section 4)."""

from dataclasses import dataclass
from enum import StrEnum

from shim.model.connection import Connection, Kind, Role, Stage
from shim.model.time import Duration, Time


class VerdictName(StrEnum):
    MATCHED = "matched"
    MISMATCHED = "mismatched"
    EXPECTED = "expected"
    INCONCLUSIVE = "inconclusive"


class VerdictKind(StrEnum):
    BOTH = "both"
    SKEWED = "skewed"
    ONLY_CONTROL = "only_control"
    ONLY_CANDIDATE = "only_candidate"
    CLOSED = "closed"
    HANDOVER = "handover"
    SHUTDOWN = "shutdown"
    ERROR = "error"


class Cause(StrEnum):
    """Who ended a connection."""

    PEER = "peer"
    APPLICATION = "application"
    CONTROL = "control"
    CANDIDATE = "candidate"


@dataclass(slots=True)
class Verdict:
    """How one episode ended. `skew` is control minus candidate, where both decided (R8).

    `acting` is the monitor whose effects reached the socket while the episode was open (None: neither),
    `rule` the name of the expected rule that explained a mismatch (R13), `order` the connection's
    place in the order of opening, `trace` the id of its trace (32 hex digits), once it has one: whoever
    traces verdicts is told of them before those who keep them.
    """

    connection: Connection
    order: int
    name: VerdictName
    kind: VerdictKind
    at: Time
    first: Role | None
    control_at: Time | None
    candidate_at: Time | None
    recovered: bool
    last_activity: Time
    acting: Role | None
    rule: str | None = None
    trace: str | None = None

    @property
    def skew(self) -> Duration | None:
        if self.control_at is None or self.candidate_at is None:
            return None
        return self.control_at - self.candidate_at


@dataclass(slots=True)
class LateDecision:
    """A decision on a silence that has its verdict already (R7)."""

    connection: Connection
    role: Role
    at: Time
    acting: Role | None


class Return(StrEnum):
    """What the user saw after a timeout was acted on (R15)."""

    RETURNED = "returned"
    LOST = "lost"
    REPLACED = "replaced"
    CENSORED = "censored"


@dataclass(slots=True)
class Outcome:
    """Whether the client came back after `role` had closed its connection at `acted_at`.

    `delay` is the time from the closing to the return, for returns only; `code` the close code that
    the monitor wanted (None: it terminated). `by_percentage`: chance gave the user the stage, so that
    the outcome is comparable between the monitors (R15).
    """

    connection: Connection
    role: Role
    result: Return
    acted_at: Time
    at: Time
    delay: Duration | None = None
    code: int | None = None
    by_percentage: bool = True


@dataclass(slots=True)
class MonitorFailure:
    """A monitor's call that raised, answered nonsense or took too long (R5).

    `connection` is None for a call about no single connection.
    """

    role: Role
    call: str
    reason: str
    at: Time
    connection: Connection | None = None


@dataclass(slots=True)
class Closing:
    """How a connection ended: at which stage, who ended it, and with which close code.

    `intended` is the code of the close frame that was sent (None: none was), `observed` that of the
    peer's (1006: none came).
    """

    connection: Connection
    stage: Stage
    opened_at: Time
    at: Time
    cause: Cause
    intended: int | None
    observed: int


@dataclass(slots=True)
class Coverage:
    """What was watched between `since` and `until`, for one kind of connection.

    The durations are sums over connections: `connected` while they were open, of that `control_acted`
    and `candidate_acted` by the monitor whose effects reached the socket, `watched` while the candidate
    watched. `pings` are the candidate's, sent or recorded; one of them each `heartbeat_interval` of
    `watched` is full coverage (None: the candidate's settings have no such key). The users are those
    with an open connection at `until`, by the monitor that acts for them.
    """

    kind: Kind
    since: Time
    until: Time
    connected: Duration
    control_acted: Duration
    candidate_acted: Duration
    watched: Duration
    pings: int
    heartbeat_interval: Duration | None
    control_users: int
    candidate_users: int


@dataclass(slots=True)
class FlagsLoad:
    """The flags file was read: taken over, or, with a `problem`, refused (R20).

    `by` and `reason`: who changed it and why, as far as the tools know.
    """

    at: Time
    file: str
    digest: str
    before: str | None = None
    problem: str | None = None
    by: str | None = None
    reason: str | None = None
