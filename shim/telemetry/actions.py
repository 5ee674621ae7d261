"""Spans that follow a timeout that was acted on: they belong to the trace of its episode.

In `live` the acting monitor decides first, and the client may be back before the other monitor has decided.
Then the return waits for the verdict, and becomes part of its trace.
"""

from dataclasses import dataclass, field

from opentelemetry.trace import Link, SpanContext, TraceFlags

from shim.model import Role, Stage, Time, Verdict
from shim.telemetry.spans import PlannedSpan

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@dataclass(slots=True, eq=False)
class Action:
    """A timeout decided at `at` and acted on; kept until its end, outcome and, if one comes, verdict.

    `registration` leads to the span of the connection's registration (empty: it was not sampled).
    """

    at: Time
    stage: Stage | None
    registration: bytes
    awaits_verdict: bool = field(init=False)
    """Only in the stages that compare a verdict is to come."""
    awaits_closing: bool = True
    awaits_outcome: bool = True
    episode: SpanContext | None = None
    waiting: list[PlannedSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.awaits_verdict = self.stage is not None and self.stage.shadowing is not None

    @property
    def over(self) -> bool:
        return not (self.awaits_closing or self.awaits_outcome or self.awaits_verdict)


def packed(context: SpanContext) -> bytes:
    """A span context in 24 bytes; one is kept for each open connection."""
    return context.trace_id.to_bytes(16) + context.span_id.to_bytes(8)


def trace_id_of(registration: bytes) -> str:
    """The trace id of a packed context, 32 hex digits."""
    return registration[:16].hex()


def links_to(registration: bytes) -> tuple[Link, ...]:
    """The link to a packed context; none to an empty one."""
    if not registration:
        return ()
    trace_id, span_id = int.from_bytes(registration[:16]), int.from_bytes(registration[16:])
    return (Link(SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)),)


def acting_decided_at(verdict: Verdict) -> Time | None:
    """When the acting monitor decided, if it did."""
    if verdict.acting is None:
        return None
    return verdict.control_at if verdict.acting is Role.CONTROL else verdict.candidate_at
