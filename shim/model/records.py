"""What is kept of a comparison: verdicts, late decisions, outcomes and failures (docs/design.md#comparison).

Rules: docs/design.md#r5, docs/design.md#r6b, docs/design.md#r7, docs/design.md#r8,
docs/design.md#r9, docs/design.md#r12, docs/design.md#r13, docs/design.md#r14,
docs/design.md#r15, docs/design.md#r20.
"""

from dataclasses import dataclass
from enum import StrEnum

from shim.model.connection import BY_CHANCE, Connection, Kind, Placement, Role, Stage
from shim.model.time import Duration, Time


class VerdictName(StrEnum):
    """What an episode ends with (R8 to R13)."""

    MATCHED = "matched"
    MISMATCHED = "mismatched"
    EXPECTED = "expected"
    INCONCLUSIVE = "inconclusive"


class VerdictKind(StrEnum):
    """Why an episode ended so (R6b, R8 to R12)."""

    BOTH = "both"
    SKEWED = "skewed"
    ONLY_CONTROL = "only_control"
    ONLY_CANDIDATE = "only_candidate"
    CLOSED = "closed"
    HANDOVER = "handover"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    HELD = "held"


class Cause(StrEnum):
    """The cause of the end of a connection."""

    PEER = "peer"
    APPLICATION = "application"
    CONTROL = "control"
    CANDIDATE = "candidate"


@dataclass(slots=True, kw_only=True)
class Verdict:
    """How one episode ended."""

    connection: Connection
    order: int
    """The connection's place in the order of opening."""
    name: VerdictName
    kind: VerdictKind
    at: Time
    first: Role | None
    """The monitor that decided first; None: neither did (an error)."""
    control_at: Time | None
    candidate_at: Time | None
    """When each monitor decided, if it did."""
    recovered: bool
    """Whether a sign of life proved the decision wrong (R9)."""
    last_activity: Time
    """The sign of life that began the silence."""
    acting: Role | None
    """The monitor whose effects reached the socket while the episode was open; None: neither's."""
    rule: str | None = None
    """The name of the expected rule that explained a mismatch (R13)."""
    trace: str | None = None
    """The id of its trace, 32 hex digits: observers that trace are told of the verdict first, and set it."""
    placement: Placement = BY_CHANCE
    """How the flags placed the user when the episode began."""

    @property
    def skew(self) -> Duration | None:
        """Control minus candidate, where both decided (R8)."""
        if self.control_at is None or self.candidate_at is None:
            return None
        return self.control_at - self.candidate_at

    @property
    def is_improvement(self) -> bool:
        """Whether life proved the control wrong where the candidate waited (R14)."""
        return self.kind is VerdictKind.ONLY_CONTROL and self.recovered


@dataclass(frozen=True, slots=True)
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


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Whether the client came back after a monitor had closed its connection (R15).

    Nobody changes an outcome that was told. (A frozen dataclass takes 2 µs longer to make, twice an action.)
    """

    connection: Connection
    role: Role
    """The monitor that closed the connection."""
    result: Return
    acted_at: Time
    """When the connection was closed."""
    at: Time
    """When the result was known."""
    window_ends: Time
    """The last moment at which a new connection counts as a return (R15)."""
    last_activity: Time
    """The closed connection's last sign of life."""
    delay: Duration | None = None
    """From the closing to the return; None: the client did not return."""
    code: int | None = None
    """The close code that the monitor wanted; None: it terminated the connection."""
    placement: Placement = BY_CHANCE
    """How the flags placed the user."""

    @property
    def by_percentage(self) -> bool:
        """Whether chance placed the user, so that the monitors can be compared."""
        return self.placement.group is not None


QUARANTINE = "quarantine"
"""The `call` of the failure that says that the plugin runs no more (R5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorFailure:
    """A monitor's call that raised, answered nonsense or took too long (R5)."""

    role: Role
    call: str
    """The name of the method, or `quarantine`."""
    reason: str
    at: Time
    connection: Connection | None = None
    """None: the call was about no single connection."""


def without_details(reason: str) -> str:
    """What a monitor's failure was, without what the monitor said, which may name users."""
    return "answered nonsense" if reason.startswith("answered ") else reason.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a connection ended."""

    connection: Connection
    stage: Stage
    """The stage at which it ended."""
    opened_at: Time
    at: Time
    cause: Cause
    intended: int | None
    """The code of the close frame that was sent; None: none was sent."""
    observed: int
    """The code of the peer's close frame; 1006: none came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What was watched between two times, for one kind of connection; durations are sums over connections."""

    kind: Kind
    since: Time
    until: Time
    connected: Duration
    """While connections were open."""
    control_acted: Duration
    candidate_acted: Duration
    """Of `connected`, the time in which the effects of this monitor reached the socket."""
    watched: Duration
    """While the candidate watched."""
    pings: int
    """The candidate's, sent or recorded; one in each `heartbeat_interval` of `watched` is full coverage."""
    heartbeat_interval: Duration | None
    """None: the candidate's settings have no such key."""
    control_users: int
    candidate_users: int
    """Users with an open connection at `until`, by the monitor that acts for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsLoad:
    """The flags file was read: taken over, or, with a `problem`, refused (R20)."""

    at: Time
    file: str
    digest: str
    before: str | None = None
    """The digest that was in force before."""
    problem: str | None = None
    problem_without_names: str | None = None
    """The same without what stands in the file, which may name users."""
    by: str | None = None
    """Who changed the file, as far as the tools know."""
    reason: str | None = None
    """Why it was changed."""
    deciding: str | None = None
    """The parts of the file in force that decide about a trial, as JSON (`shim.flags.deciding`)."""
