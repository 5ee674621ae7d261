"""Metrics: plain numbers kept by the rare events, read when somebody asks. Nothing runs per message.

No reading visits the connections: a scrape costs the same with one as with 100 000 of them.
"""

import time
from collections.abc import Callable

from opentelemetry.metrics import MeterProvider

from shim.model import (
    Closing,
    Coverage,
    Duration,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Role,
    Verdict,
    seconds,
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
from shim.telemetry.catalogue import Catalogue, Readings
from shim.telemetry.instruments import observe
from shim.telemetry.prometheus import Exposition
from shim.telemetry.series import Example


class Metrics(Observer):
    """Counts what the shim does. `wall` is the time of day in nanoseconds since 1970.

    It has to be told of verdicts after the tracing, whose trace ids become exemplars.
    """

    def __init__(
        self,
        readings: Readings | None = None,
        wall: Callable[[], int] = time.time_ns,
        provider: MeterProvider | None = None,
    ) -> None:
        self._wall = wall
        self._all = catalogue = Catalogue(readings or Readings())
        self._exposition = Exposition(catalogue.series, catalogue.histograms)
        observe(catalogue.series, provider)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for `GET /metrics`; `accept` is the request's header."""
        return self._exposition.render(accept)

    def timer_late(self, lateness: Duration) -> None:
        """The driver's timer came so much later than it was set for."""
        self._all.timer_lateness.add(seconds(max(0, lateness)))

    # -- Connections ----------------------------------------------------------------------------------

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        self._all.connections.add(opened.connection.kind.value, str(opened.stage))
        self._all.registrations.add(opened.connection.kind.value, str(opened.stage))

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        kind = closing.connection.kind.value
        self._all.closings.add(kind, closing.cause.value, _code(closing.intended))
        self._all.connections.add(kind, str(closing.stage), by=-1)

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        self._all.stage_changes.add(str(change.before), str(change.after))
        self._all.connections.add(change.connection.kind.value, str(change.before), by=-1)
        self._all.connections.add(change.connection.kind.value, str(change.after))

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        kind = coverage.kind.value
        control, candidate = Role.CONTROL.value, Role.CANDIDATE.value
        self._all.connected.add(kind, by=seconds(coverage.connected))
        self._all.acted_for.add(kind, control, by=seconds(coverage.control_acted))
        self._all.acted_for.add(kind, candidate, by=seconds(coverage.candidate_acted))
        self._all.users.set(kind, control, to=coverage.control_users)
        self._all.users.set(kind, candidate, to=coverage.candidate_users)
        if coverage.heartbeat_interval:
            self._all.candidate_pings.add(kind, by=coverage.pings)
            due = coverage.watched / coverage.heartbeat_interval
            self._all.candidate_pings_due.add(kind, by=due)

    # -- The comparison -------------------------------------------------------------------------------

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        kind = decided.connection.kind.value
        self._all.decisions.add(decided.role.value, _yes(decided.acted), kind)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        example = None
        if verdict.trace is not None:
            example = Example(verdict.trace, 1, self._wall() / 1e9)
        informative = verdict.first is not None and verdict.first is not verdict.acting
        self._all.verdicts.add(
            verdict.name.value,
            verdict.kind.value,
            _yes(verdict.recovered),
            _yes(informative),
            verdict.connection.kind.value,
            example=example,
        )
        if verdict.skew is not None and verdict.first is not None:
            skew = seconds(abs(verdict.skew))
            if example is not None:
                example = example._replace(value=skew)
            self._all.skew.add(skew, verdict.first.value, example)

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self._all.late_decisions.add(late.role.value)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self._all.outcomes.add(
            outcome.role.value,
            outcome.result.value,
            _code(outcome.code),
            _yes(outcome.by_percentage),
            outcome.connection.kind.value,
        )
        if outcome.delay is not None:
            self._all.return_delay.add(seconds(outcome.delay), outcome.role.value)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._all.proofs_of_life.add(proof.role.value)

    # -- The operation --------------------------------------------------------------------------------

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self._all.failures.add(failure.role.value, failure.call)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if brake.engaged:
            self._all.brakes.add()

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self._all.guard.set(to=guard.holding)
        if guard.holding:
            self._all.guards.add()

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        refused = load.problem is not None
        self._all.flags_stale.set(to=refused)
        if refused:
            self._all.flags_failures.add()
            return
        self._all.flags_info.values = {(load.digest,): 1}
        self._all.flags_loaded_at.set(to=self._wall() / 1e9)

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self._all.pauses.add()
        self._all.paused.add(by=seconds(pause.end - pause.start))


def _code(code: int | None) -> str:
    return "none" if code is None else str(code)


def _yes(truth: bool) -> str:
    return "true" if truth else "false"
