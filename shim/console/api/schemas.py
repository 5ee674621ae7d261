"""What the API answers, as types: they are its schemas, too. Durations are seconds.

Times that come from the ledger are seconds since 1970. Users and sessions are named by a keyed hash
(16 hex digits) to a visitor who is not an operator.

Rules: docs/design.md#r5, docs/design.md#r14, docs/design.md#r16,
docs/design.md#r22, docs/design.md#r23.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from shim.console.access.redaction import Names
from shim.ledger.completeness import Completeness
from shim.ledger.fleet_record import FleetOrder
from shim.ledger.json_record import Length
from shim.ledger.protocols import Episode
from shim.ledger.rows import ActionRow, FailureRow, Row, VerdictRow
from shim.model import Cause, Kind, Role, Stage, without_details
from shim.model.visible_text import LONGEST_REASON, REASON, SHORTEST_REASON

R = TypeVar("R", bound=Row)

RecordAnswer: TypeAlias = Annotated[
    Completeness | None,
    Meta(description="How far the record of the fleet goes (R23); null: there is no fleet."),
]

StatedRecord: TypeAlias = Annotated[
    Completeness | None,
    Meta(
        description="How far the record of the fleet goes (R23); null: there is no fleet, or its store does "
        "not answer."
    ),
]

ThisProcess: TypeAlias = Annotated[
    str | None,
    Meta(
        description="The process of the fleet whose connections these are; null: there is no fleet."
    ),
]

StageWord = Literal["off", "shadow", "live", "complete"]


def stage_word(stage: Stage) -> StageWord:
    """A stage as the API writes it."""
    word: StageWord = str(stage)  # type: ignore[assignment]
    return word


class ConnectionAnswer(msgspec.Struct, kw_only=True):
    """An open connection, or one on which the shadowing monitor still has to decide."""

    connection: str
    kind: Kind
    user: str
    session: str
    package: str | None
    instance: Annotated[str | None, Meta(description="Null: the service names none.")]
    stage: StageWord
    acting: Annotated[Role | None, Meta(description="Whose effects reach the socket.")]
    watched_by: list[Role]
    connected: Annotated[float, Meta(description="Seconds since it was registered.")]
    silence: Annotated[float, Meta(description="Seconds since its last sign of life.")]
    missed: Annotated[
        int | None, Meta(description="The candidate's heartbeats since then; null: it has none.")
    ]
    closing: Annotated[bool, Meta(description="A monitor has closed it.")]


class ConnectionsAnswer(msgspec.Struct, kw_only=True):
    """Connections of this process in the order of their opening; `next` is the cursor of what follows."""

    connections: list[ConnectionAnswer]
    next: str | None
    process: ThisProcess


class SocketAnswer(msgspec.Struct, kw_only=True):
    """What the kernel knows of a connection's socket (TCP_INFO)."""

    round_trip: Annotated[float, Meta(description="Seconds, smoothed.")]
    jitter: Annotated[float, Meta(description="The mean deviation of the round trip, seconds.")]
    bytes_received: int
    bytes_sent: Annotated[int, Meta(description="Those that the peer has acknowledged.")]
    retransmitted: Annotated[int, Meta(description="Segments sent again, over its life.")]


class SessionAnswer(msgspec.Struct, kw_only=True):
    """A user's session: the connections it points at."""

    session: str
    user: str
    stage: StageWord | None
    glasses: Annotated[str | None, Meta(description="The connection of the glasses.")]
    apps: Annotated[
        dict[str, str],
        Meta(description="The apps' connections, by package, or package/instance."),
    ]
    sockets: Annotated[int, Meta(description="Those that are being closed included.")]


class SessionsAnswer(msgspec.Struct, kw_only=True):
    """Sessions of this process in the order of their beginning; `next` is the cursor of what follows."""

    sessions: list[SessionAnswer]
    next: str | None
    process: ThisProcess


class SessionConnection(ConnectionAnswer, kw_only=True):
    """A connection with what its socket and its monitors say; null if that cannot be known."""

    messages: Annotated[int, Meta(description="Messages and pongs that came.")]
    round_trip: Annotated[
        float | None, Meta(description="Seconds from a monitor's last ping to its pong.")
    ]
    socket: SocketAnswer | None


class EndedAnswer(msgspec.Struct, kw_only=True):
    """How a connection of the session ended."""

    connection: str
    kind: Kind
    package: str | None
    instance: str | None
    ago: Annotated[float, Meta(description="Seconds since then.")]
    connected: Annotated[float, Meta(description="Seconds that it lasted.")]
    cause: Cause
    intended: Annotated[int | None, Meta(description="The close code that was sent.")]
    observed: Annotated[
        int, Meta(description="The close code that came; 1006: no close frame came.")
    ]


class EvaluationAnswer(msgspec.Struct, kw_only=True):
    """Which stage a user has, and why."""

    flag: str
    user: str
    stage: StageWord
    reason: str
    rule: str | None
    rule_index: int | None
    missed: list[str]
    by_percentage: bool
    granted: StageWord
    lowered_by: str | None
    bucket: int
    threshold: int | None
    thresholds: dict[str, int]
    holdback_bucket: int
    holdback_threshold: int
    detail: Annotated[
        str | None, Meta(description="What another provider said; null: none was asked.")
    ]
    words: Annotated[str, Meta(description="The same for people.")]


class BrakeAnswer(msgspec.Struct, kw_only=True):
    """The order that takes everyone back to `shadow` (R22).

    Its history is newest first; null where there is no ledger that can be read.
    """

    engaged: bool
    reason: str | None
    quarantined: Annotated[
        bool,
        Meta(
            description="The candidate runs no more (R5): until a restart a release moves nobody."
        ),
    ]
    history: list[FleetOrder] | None
    record: StatedRecord


class BrakeOrder(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Engage the brake, or release it."""

    engaged: bool
    reason: Annotated[
        str, Meta(min_length=SHORTEST_REASON, max_length=LONGEST_REASON, pattern=REASON)
    ]


class ConditionAnswer(msgspec.Struct, kw_only=True):
    """One of the gate's conditions; see `shim.gate.answer.Condition`."""

    name: str
    title: str
    kind: Kind | None
    standing: Literal["met", "open", "failed"]
    scale: Literal["share", "count"]
    sense: Literal["at_least", "at_most"]
    target: float | None
    bound: float | None
    figure: float | None
    interval: tuple[float, float] | None
    missing: str | None
    eta: Annotated[float | None, Meta(description="Seconds, at the present rate.")]
    inputs: dict[str, Any]


class TrialAnswer(msgspec.Struct, kw_only=True):
    """The time since anything last changed that decides who gets what and what is compared (R16)."""

    since: Annotated[float, Meta(description="Seconds since 1970.")]
    until: Annotated[float | None, Meta(description="Seconds since 1970; null: it goes on.")]
    began_by: Annotated[
        str, Meta(description="`start`, `brake released`, or the names of the parts that changed.")
    ]
    first_period_ends: Annotated[float, Meta(description="Seconds since 1970.")]
    monitors: Annotated[str, Meta(description="A digest of both monitors and their settings.")]
    comparison: Annotated[str, Meta(description="A digest of the section `comparison`.")]
    flags: Annotated[str, Meta(description="A digest of the flags file without its overrides.")]
    ends_by: Annotated[str, Meta(description="What would end the trial.")]


class StandingReadyAnswer(msgspec.Struct, kw_only=True):
    """An earlier trial's `ready`, which stands while nothing but widths grows."""

    since: Annotated[float, Meta(description="Seconds since 1970.")]
    until: Annotated[float, Meta(description="Seconds since 1970.")]
    stands_until: Annotated[float, Meta(description="Seconds since 1970.")]


class GateInputs(msgspec.Struct, kw_only=True):
    """What the gate judges."""

    now: Annotated[float, Meta(description="Seconds since 1970.")]
    trial: Annotated[TrialAnswer | None, Meta(description="Null: no trial goes on.")]
    differing: Annotated[
        list[str],
        Meta(
            description="The parts in which processes that run differ, so that there is no trial."
        ),
    ]
    attempt: Annotated[int, Meta(description="Which attempt of the last 90 days the trial is.")]
    min_e_value: Annotated[float, Meta(description="What shows or refutes something in it.")]
    standing_ready: StandingReadyAnswer | None
    kinds: list[Kind]
    not_known: Annotated[str, Meta(description="What no answer can take into account.")]


class GateAnswerBody(msgspec.Struct, kw_only=True):
    """May the control be retired? (R16)"""

    answer: Literal["ready", "not_ready", "insufficient"]
    eta: Annotated[float | None, Meta(description="Seconds, at the present rate.")]
    inputs: GateInputs
    conditions: list[ConditionAnswer]
    record: RecordAnswer


class VerdictAnswer(VerdictRow, frozen=True, kw_only=True):
    """How an episode ended; `skew` is null unless both monitors decided."""

    skew: Length | None
    improvement: Annotated[
        bool, Meta(description="Life proved the control wrong where the candidate waited (R14).")
    ]
    trace_url: str | None


class VerdictsAnswer(msgspec.Struct, kw_only=True):
    """Verdicts, newest first; `next` is the cursor of what follows."""

    verdicts: list[VerdictAnswer]
    next: str | None
    record: RecordAnswer


class OutcomesAnswer(msgspec.Struct, kw_only=True):
    """Whether the clients that were closed came back, newest first."""

    outcomes: list[ActionRow]
    record: RecordAnswer


class EpisodeAnswer(Episode, frozen=True, kw_only=True):
    """A verdict with everything around it, oldest first."""

    verdict: VerdictAnswer


class OneSessionAnswer(msgspec.Struct, kw_only=True):
    """A session with its connections, and its user's latest verdicts."""

    session: SessionAnswer
    connections: list[SessionConnection]
    ended: list[EndedAnswer]
    verdicts: list[VerdictAnswer]
    record: RecordAnswer


def verdict_answer(row: VerdictRow, names: Names, trace_url: str | None) -> VerdictAnswer:
    """A verdict for the API, with the place of its trace."""
    facts = msgspec.structs.asdict(named(row, names))
    return VerdictAnswer(**facts, skew=row.skew, improvement=row.improvement, trace_url=trace_url)


def episode_answer(episode: Episode, names: Names, trace_url: str | None) -> EpisodeAnswer:
    """An episode for the API, with the place of its verdict's trace."""
    return EpisodeAnswer(
        verdict=verdict_answer(episode.verdict, names, trace_url),
        run=episode.run,
        decisions=[named(row, names) for row in episode.decisions],
        late=[named(row, names) for row in episode.late],
        action=episode.action and named(episode.action, names),
        closing=episode.closing and named(episode.closing, names),
        proofs=[named(row, names) for row in episode.proofs],
        failures=[named(row, names) for row in episode.failures],
        stages=[named(row, names) for row in episode.stages],
        pauses=episode.pauses,
        record=episode.record,
    )


def named(row: R, names: Names) -> R:
    """The row with its user named as the visitor may see them."""
    found = {field: getattr(row, field, None) for field in ("user", "session", "instance")}
    shown = {field: names(name) for field, name in found.items() if name is not None}
    if isinstance(row, FailureRow) and not names.clear:
        shown["reason"] = without_details(row.reason)
    return msgspec.structs.replace(row, **shown)
