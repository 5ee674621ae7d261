"""Metrics: numbers that rare events change, read when somebody asks. Nothing runs per message.

No reading visits the connections: a scrape costs the same with one as with 100 000 of them.
"""

import time
from collections.abc import Callable
from functools import cache

from opentelemetry.metrics import MeterProvider
from prometheus_client import Counter, Gauge

from shim.model import (
    Cause,
    Closing,
    Coverage,
    Duration,
    FlagsLoad,
    Kind,
    LateDecision,
    MonitorFailure,
    Outcome,
    Role,
    Stage,
    Verdict,
    seconds,
)
from shim.router import (
    BrakeChanged,
    ClockJumped,
    Decided,
    GuardChanged,
    Observer,
    Opened,
    Paused,
    ProofOfLife,
    StageChanged,
    handles,
)
from shim.telemetry.catalogue import Catalogue, Readings
from shim.telemetry.metric_registry import mirror


class Metrics(Observer):
    """Counts what the shim does. `wall` is the time of day in nanoseconds since 1970; `settings` is the digest
    of the settings that should be the same in every process.

    It has to be told of verdicts after the tracing, whose trace ids become exemplars.
    """

    def __init__(
        self,
        readings: Readings | None = None,
        wall: Callable[[], int] = time.time_ns,
        provider: MeterProvider | None = None,
        *,
        settings: str | None = None,
    ) -> None:
        self._wall = wall
        self._all = catalogue = Catalogue(readings or Readings())
        if settings is not None:
            catalogue.settings_info.labels(settings).set(1)
        # To find a series by its labels takes longer than all else that an opening or an end costs here.
        self._connections: Callable[[Kind, Stage], Gauge] = cache(
            lambda kind, stage: catalogue.connections.labels(kind.value, str(stage))
        )
        self._openings: Callable[[Kind, Stage], tuple[Gauge, Counter]] = cache(
            lambda kind, stage: (
                self._connections(kind, stage),
                catalogue.registrations.labels(kind.value, str(stage)),
            )
        )
        self._closings: Callable[[Kind, Cause, int | None], Counter] = cache(
            lambda kind, cause, code: catalogue.closings.labels(
                kind.value, cause.value, _code(code)
            )
        )
        for collector in catalogue.mirrored:
            mirror(collector, provider)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for `GET /metrics`; `accept` is the request's header."""
        return self._all.registry.render(accept)

    def timer_late(self, lateness: Duration) -> None:
        """The driver's timer came so much later than it was set for."""
        self._all.timer_lateness_seconds.observe(seconds(max(0, lateness)))

    # -- Connections ----------------------------------------------------------------------------------

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        connections, registrations = self._openings(opened.connection.kind, opened.stage)
        connections.inc()
        registrations.inc()

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        kind = closing.connection.kind
        self._closings(kind, closing.cause, closing.intended).inc()
        self._connections(kind, closing.stage).dec()

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        kind = change.connection.kind
        self._all.stage_changes.labels(str(change.before), str(change.after)).inc()
        self._connections(kind, change.before).dec()
        self._connections(kind, change.after).inc()

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        kind = coverage.kind.value
        control, candidate = Role.CONTROL.value, Role.CANDIDATE.value
        self._all.connected_seconds.labels(kind).inc(seconds(coverage.connected))
        self._all.acted_seconds.labels(kind, control).inc(seconds(coverage.control_acted))
        self._all.acted_seconds.labels(kind, candidate).inc(seconds(coverage.candidate_acted))
        self._all.users.labels(kind, control).set(coverage.control_users)
        self._all.users.labels(kind, candidate).set(coverage.candidate_users)
        if coverage.heartbeat_interval:
            self._all.candidate_pings.labels(kind).inc(coverage.pings)
            due = coverage.watched / coverage.heartbeat_interval
            self._all.candidate_pings_due.labels(kind).inc(due)

    # -- The comparison -------------------------------------------------------------------------------

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        kind = decided.connection.kind.value
        self._all.decisions.labels(decided.role.value, _yes(decided.acted), kind).inc()

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        exemplar = None if verdict.trace is None else {"trace_id": verdict.trace}
        informative = verdict.first is not None and verdict.first is not verdict.acting
        self._all.verdicts.labels(
            verdict.name.value,
            verdict.kind.value,
            _yes(verdict.recovered),
            _yes(verdict.is_improvement),
            _yes(informative),
            verdict.connection.kind.value,
        ).inc(exemplar=exemplar)
        if verdict.skew is not None and verdict.first is not None:
            skew = self._all.skew_seconds.labels(verdict.first.value)
            skew.observe(seconds(abs(verdict.skew)), exemplar)

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self._all.late_decisions.labels(late.role.value).inc()

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self._all.outcomes.labels(
            outcome.role.value,
            outcome.result.value,
            _code(outcome.code),
            _yes(outcome.by_percentage),
            outcome.connection.kind.value,
        ).inc()
        if outcome.delay is not None:
            self._all.return_delay_seconds.labels(outcome.role.value).observe(
                seconds(outcome.delay)
            )

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._all.proofs_of_life.labels(proof.role.value).inc()

    # -- The operation --------------------------------------------------------------------------------

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self._all.monitor_failures.labels(failure.role.value, failure.call).inc()

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if brake.engaged:
            self._all.brake_engagements.inc()

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self._all.guard_holding.set(guard.holding)
        if guard.holding:
            self._all.guard_engagements.inc()

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        refused = load.problem is not None
        self._all.flags_stale.set(refused)
        if refused:
            self._all.flags_failures.inc()
            return
        self._all.flags_info.clear()
        self._all.flags_info.labels(load.digest).set(1)
        self._all.flags_loaded_timestamp_seconds.set(self._wall() / 1e9)

    @handles(ClockJumped)
    def _clock_jumped(self, _jump: ClockJumped) -> None:
        self._all.clock_jumps.inc()

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self._all.pauses.inc()
        self._all.paused_seconds.inc(seconds(pause.end - pause.start))


def _code(code: int | None) -> str:
    return "none" if code is None else str(code)


def _yes(truth: bool) -> str:
    return "true" if truth else "false"
