"""Traces: one for each episode, built when its verdict is known, and short ones for other events.

    episode matched      |=======================================|   last sign of life .. verdict
      candidate silence  |==============================|            .. its decision
      control silence    |=======================================|   .. its decision
      closing                                           |====|       the close handshake
      returned                                          |=|          the client is back

The difference between the ends of the silences is the skew. No span lives as long as a connection.

Rules: docs/design.md#r6b.
"""

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, SpanContext, TracerProvider, format_trace_id

from shim.model import (
    Cause,
    Closing,
    Connection,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Stage,
    Time,
    Verdict,
    VerdictName,
    seconds,
    without_details,
)
from shim.router import (
    BrakeChanged,
    Decided,
    GuardChanged,
    Observer,
    Opened,
    Paused,
    ProofOfLife,
    StageChanged,
    handles,
)
from shim.telemetry import attributes as names
from shim.telemetry.actions import Action, acting_decided_at, links_to, packed, trace_id_of
from shim.telemetry.spans import Attributes, PlannedSpan, SpanRateLimit, Spans

_NONE: Attributes = {}


class TraceObserver(Observer):
    """Traces through OpenTelemetry's API: to whatever provider the application has set.

    `pseudonym` is how users and sessions may be named, `names_users` whether reasons may name users, `clock`
    the shim's, `wall` the time of day in nanoseconds. It must get a verdict before the observers that keep
    verdicts: it sets `verdict.trace`.
    """

    def __init__(
        self,
        clock: Callable[[], Time],
        pseudonym: Callable[[str], str],
        wall: Callable[[], int] = time.time_ns,
        provider: TracerProvider | None = None,
        *,
        names_users: bool = True,
    ) -> None:
        self._spans = Spans(clock, wall, provider)
        self._pseudonym = pseudonym
        self._names_users = names_users
        # Both have the open connections' ids as keys, and both are empty while nobody traces.
        self._stages: dict[str, Stage] = {}
        self._registrations: dict[str, bytes] = {}
        self._actions: dict[str, Action] = {}
        # Episodes whose acting monitor decided but did not act, because the guard holds the close (R6b).
        self._held: dict[str, tuple[Time, SpanContext | None]] = {}
        self._flags: FlagsLoad | None = None
        self._rate_limit = SpanRateLimit()

    # -- Connections ----------------------------------------------------------------------------------

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        if not self._spans.on:
            return
        connection, now = opened.connection, opened.at
        self._stages[connection.id] = opened.stage
        if not self._rate_limit.allows("registration", now):
            return
        span = self._begin("registration", now, False, None)
        if span is not None:
            self._registrations[connection.id] = packed(span.get_span_context())
            span.set_attributes(
                self._connection(connection)
                | {names.STAGE: str(opened.stage), names.ACTING: _role_name(opened.acting)}
                | names.flag_attributes(
                    opened.evaluation, self._pseudonym(connection.user), self._flags
                )
            )
            self._spans.end(span, now)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        if not self._spans.on:
            return
        connection = closing.connection
        start = closing.at
        action = self._actions.get(connection.id)
        if action is not None and closing.cause in (Cause.CONTROL, Cause.CANDIDATE):
            start = action.at
        attributes = {
            names.STAGE: str(closing.stage),
            names.CAUSE: closing.cause.value,
            names.CODE_INTENDED: closing.intended,
            names.CODE_OBSERVED: closing.observed,
            names.CONNECTED: seconds(closing.at - closing.opened_at),
        }
        planned = PlannedSpan("closing", start, closing.at, _known(attributes))
        self._happened(connection, planned)
        if action is not None:
            action.awaits_closing = False
            self._drop_if_over(connection, action)
        self._stages.pop(connection.id, None)
        self._registrations.pop(connection.id, None)
        self._held.pop(connection.id, None)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        connection, now = change.connection, change.at
        if connection.id in self._stages:
            self._stages[connection.id] = change.after
        attributes = {names.STAGE_BEFORE: str(change.before), names.STAGE: str(change.after)}
        self._happened(connection, PlannedSpan("handover", now, now, attributes))

    # -- Episodes -------------------------------------------------------------------------------------

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.acted and self._spans.on:
            connection, at = decided.connection, decided.decision.at
            stage = self._stages.get(connection.id)
            registration = self._registrations.get(connection.id, b"")
            action = self._actions[connection.id] = Action(at, stage, registration)
            decided_at, episode = self._held.pop(connection.id, (None, None))
            if decided_at == at:
                self._judged(connection, action, episode)

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        # The silence has its verdict: no trace will come that this closing belongs to.
        connection = late.connection
        if late.acting is late.role:
            if (action := self._actions.get(connection.id)) is not None:
                self._judged(connection, action, None)
            elif connection.id in self._stages:
                self._held[connection.id] = (late.at, None)
        planned = PlannedSpan("late decision", late.at, late.at, {names.ROLE: late.role.value})
        self._happened(connection, planned)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        if not self._spans.on:
            return
        connection = verdict.connection
        action = self._actions.get(connection.id)
        keep = verdict.name is not VerdictName.MATCHED
        if action is not None:
            keep = keep or any(planned.keep for planned in action.waiting)
        name = f"episode {verdict.name.value}"
        context: SpanContext | None = None
        if keep or self._rate_limit.allows(name, verdict.at):
            context = self._trace_episode(verdict, name, keep)
        acting_at = acting_decided_at(verdict)
        if action is not None:
            self._judged(connection, action, context)
        elif acting_at is not None and connection.id in self._stages:
            self._held[connection.id] = (acting_at, context)

    def _trace_episode(self, verdict: Verdict, name: str, keep: bool) -> SpanContext | None:
        """The episode's spans; the context of the root, if it was sampled."""
        start, connection = verdict.last_activity, verdict.connection
        stage = self._stage(connection.id)
        first = {names.VERDICT: verdict.name.value, names.VERDICT_KIND: verdict.kind.value}
        root = self._begin(name, start, keep, connection.id, first)
        if root is None:
            return None
        context = root.get_span_context()
        verdict.trace = format_trace_id(context.trace_id)
        more = {
            names.RECOVERED: verdict.recovered,
            names.IMPROVEMENT: verdict.is_improvement,
            names.ACTING: _role_name(verdict.acting),
            names.FIRST: _role_name(verdict.first),
            names.SKEW: None if verdict.skew is None else seconds(verdict.skew),
            names.RULE: verdict.rule,
            names.STAGE: None if stage is None else str(stage),
        }
        root.set_attributes(self._connection(connection) | _known(more))
        for role, at in (
            (Role.CANDIDATE, verdict.candidate_at),
            (Role.CONTROL, verdict.control_at),
        ):
            if at is not None:
                attributes = {
                    names.ROLE: role.value,
                    names.ACTED: role is verdict.acting,
                    names.SILENCE: seconds(at - start),
                }
                silence = PlannedSpan(f"{role.value} silence", start, at, attributes, keep=keep)
                self._spans.child(context, silence)
        error = None
        if verdict.name is VerdictName.MISMATCHED and not verdict.is_improvement:
            error = verdict.kind.value + (", recovered" if verdict.recovered else "")
        self._spans.end(root, verdict.at, error)
        return context

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        start = outcome.at if outcome.result is Return.REPLACED else outcome.acted_at
        attributes = {
            names.OUTCOME: outcome.result.value,
            names.ROLE: outcome.role.value,
            names.BY_PERCENTAGE: outcome.by_percentage,
            names.DELAY: None if outcome.delay is None else seconds(outcome.delay),
            names.CODE_INTENDED: outcome.code,
        }
        planned = PlannedSpan(outcome.result.value, start, outcome.at, _known(attributes))
        self._happened(outcome.connection, planned)
        action = self._actions.get(outcome.connection.id)
        if action is not None:
            action.awaits_outcome = False
            self._drop_if_over(outcome.connection, action)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        role, now = proof.role.value, proof.at
        error = f"the {role} closed a live connection"
        attributes = {names.ROLE: role}
        planned = PlannedSpan("proof of life", now, now, attributes, keep=True, error=error)
        self._happened(proof.connection, planned)

    # -- The rest -------------------------------------------------------------------------------------

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        at, reason = failure.at, failure.reason
        if not self._names_users:
            reason = without_details(reason)
        attributes = {
            names.ROLE: failure.role.value,
            names.CALL: failure.call,
            names.REASON: reason,
        }
        planned = PlannedSpan("monitor failure", at, at, attributes, keep=True, error=reason)
        if self._rate_limit.allows(planned.name, at):
            self._short(planned, failure.connection)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        attributes: Attributes = {names.BRAKE_ENGAGED: brake.engaged, names.REASON: brake.reason}
        self._short(PlannedSpan("brake", brake.at, brake.at, attributes, keep=True))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        attributes = {names.GUARD_HOLDING: guard.holding, names.ACTING_FOR: guard.acting_for}
        self._short(PlannedSpan("guard", guard.at, guard.at, attributes, keep=True))

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        if load.problem is None:
            self._flags = load
        at = load.at
        problem = load.problem if self._names_users else load.problem_without_names
        attributes = {
            names.FLAGS_FILE: load.file,
            names.FLAGS_DIGEST: load.digest,
            names.FLAGS_DIGEST_BEFORE: load.before,
        }
        self._short(PlannedSpan("flags load", at, at, _known(attributes), keep=True, error=problem))

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self._short(PlannedSpan("pause", pause.start, pause.end, {}, keep=True))

    # -- Where a span goes ----------------------------------------------------------------------------

    def _happened(self, connection: Connection, planned: PlannedSpan) -> None:
        """Something about a connection: it goes into the trace of its episode, or stands alone."""
        if not self._spans.on:
            return
        action = self._actions.get(connection.id)
        if action is not None and action.episode is not None:
            self._spans.child(action.episode, planned)
        elif action is not None and action.awaits_verdict:
            action.waiting.append(planned)
        elif planned.keep or self._rate_limit.allows(planned.name, planned.end):
            self._short(planned, connection)

    def _judged(self, connection: Connection, action: Action, episode: SpanContext | None) -> None:
        """Nothing waits any more for the verdict; without a trace of it, spans stand alone."""
        action.awaits_verdict = False
        action.episode = episode
        waiting, action.waiting = action.waiting, []
        for planned in waiting:
            self._happened(connection, planned)
        self._drop_if_over(connection, action)

    def _drop_if_over(self, connection: Connection, action: Action) -> None:
        if action.over:
            del self._actions[connection.id]

    def _short(self, planned: PlannedSpan, connection: Connection | None = None) -> None:
        """A trace of one span."""
        id = None if connection is None else connection.id
        span = self._begin(planned.name, planned.start, planned.keep, id)
        if span is not None:
            span.set_attributes(planned.attributes)
            if connection is not None:
                span.set_attributes(self._connection(connection))
            self._spans.end(span, planned.end, planned.error)

    def _begin(
        self,
        name: str,
        start: Time,
        keep: bool,
        connection_id: str | None,
        more: Attributes = _NONE,
    ) -> Span | None:
        """Begin a trace, linked to the connection's registration; None if it is not sampled."""
        registration = b"" if connection_id is None else self._registration(connection_id)
        marks: dict[str, Any] = {names.KEEP: keep, **more}
        span = self._spans.root(name, start, marks, links_to(registration))
        if not span.get_span_context().trace_flags.sampled:
            span.end()
            return None
        if left_out := self._rate_limit.left_out(name):
            span.set_attribute(names.SUPPRESSED, left_out)
        return span

    # -- Attributes -----------------------------------------------------------------------------------

    def _connection(self, connection: Connection) -> dict[str, Any]:
        attributes: dict[str, Any] = {
            names.CONNECTION: connection.id,
            names.CONNECTION_KIND: connection.kind.value,
            names.USER: self._pseudonym(connection.user),
            names.SESSION: self._pseudonym(connection.session),
        }
        if connection.package is not None:
            attributes[names.PACKAGE] = connection.package
        if connection.instance is not None:
            attributes[names.INSTANCE] = self._pseudonym(connection.instance)
        if registration := self._registration(connection.id):
            attributes[names.REGISTRATION] = trace_id_of(registration)
        return attributes

    def _stage(self, connection_id: str) -> Stage | None:
        if (action := self._actions.get(connection_id)) is not None:
            return action.stage
        return self._stages.get(connection_id)

    def _registration(self, connection_id: str) -> bytes:
        """Where the connection was registered; empty if that was not sampled."""
        if (action := self._actions.get(connection_id)) is not None:
            return action.registration
        return self._registrations.get(connection_id, b"")


def _role_name(role: Role | None) -> str:
    return "none" if role is None else role.value


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    """OpenTelemetry has no null: what does not exist is left out."""
    return {name: value for name, value in attributes.items() if value is not None}
