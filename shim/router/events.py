"""The facts that a running shim finds out, each a type of its own.

They are rare: nothing here happens per message. The records of `shim.model` that are facts already stand
among them as they are: how a connection ended, a verdict, an outcome, a monitor's failure, …

Rules: docs/design.md#r3, docs/design.md#r3b, docs/design.md#r6b, docs/design.md#r14b,
docs/design.md#r15, docs/design.md#r21, docs/design.md#r22.
"""

from dataclasses import dataclass
from typing import TypeAlias

from shim.flags.evaluation import Evaluation
from shim.model import (
    BY_CHANCE,
    Closing,
    Confirmation,
    Connection,
    Coverage,
    Decision,
    Duration,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Placement,
    Role,
    Stage,
    Time,
    Verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection was registered."""

    connection: Connection
    evaluation: Evaluation
    """What the flags say about the user, and why."""
    stage: Stage
    """What the shim made of the evaluation: the brake and the plugins at hand may hold the user back."""
    acting: Role | None
    """The monitor whose effects reach the connection; None: neither's (replay)."""
    at: Time
    counted: bool = True
    """Whether what happens to the user is evidence (`Placement.counted`)."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The port of a silent connection was asked, before a monitor decided (R3b)."""

    connection: Connection
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Decided:
    """A monitor decided that a connection timed out."""

    connection: Connection
    role: Role
    decision: Decision
    acted: bool
    """Whether the decision's effects reach the socket; otherwise it is only recorded."""
    placement: Placement = BY_CHANCE
    """How the flags placed the user."""
    last_activity: Time | None = None
    """Where it was acted on: the connection's last sign of life."""
    window_ends: Time | None = None
    """Where it was acted on: the last moment at which a new connection counts as a return (R15)."""

    @property
    def counted(self) -> bool:
        """Whether what happens to the user is evidence."""
        return self.placement.counted


@dataclass(frozen=True, slots=True)
class ProofOfLife:
    """The peer sent something after a monitor had closed its connection (R14b); once for each connection."""

    connection: Connection
    role: Role
    """The monitor that had closed the connection."""
    at: Time
    guard_event: int | None
    """The event of the guard that the closing belongs to (R6b); None: to none."""
    counted: bool
    """Whether what happens to the user is evidence (`Placement.counted`)."""


@dataclass(frozen=True, slots=True)
class StageChanged:
    """An open connection was moved to another stage (R21)."""

    connection: Connection
    before: Stage
    after: Stage
    at: Time


@dataclass(frozen=True, slots=True)
class BrakeChanged:
    """The brake was engaged or released (R22)."""

    engaged: bool
    reason: str
    at: Time
    by_itself: bool = False
    """Whether the shim engaged it, and no person."""


@dataclass(frozen=True, slots=True)
class GuardChanged:
    """The guard began to hold the candidate's closes, or is calm again (R6b)."""

    holding: bool
    acting_for: int
    """The number of open connections that the candidate acts for."""
    at: Time


@dataclass(frozen=True, slots=True)
class Paused:
    """The process did not run from `start` to `end` (R3)."""

    start: Time
    end: Time


@dataclass(frozen=True, slots=True)
class ClockJumped:
    """The wall clock was found to have jumped `by` so much (negative: back); now it is `ahead` of the run's
    time of day, which goes on as if nothing had happened. `before_start`: the jump was between the run
    before and this one; from the run's start on the two agree."""

    at: Time
    by: Duration
    ahead: Duration
    before_start: bool = False


@dataclass(frozen=True, slots=True)
class MachineSlept:
    """The machine slept for so long, until `at`; the monotonic clock stood still."""

    at: Time
    length: Duration


@dataclass(frozen=True, slots=True)
class Noted:
    """A monitor wants a line in the log."""

    role: Role
    text: str


Event: TypeAlias = (
    Opened
    | Closing
    | Confirmed
    | Decided
    | Verdict
    | LateDecision
    | Outcome
    | ProofOfLife
    | MonitorFailure
    | StageChanged
    | BrakeChanged
    | GuardChanged
    | FlagsLoad
    | Coverage
    | Paused
    | ClockJumped
    | MachineSlept
    | Noted
)
