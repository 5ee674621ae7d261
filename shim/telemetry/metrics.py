"""Metrics: plain numbers kept by the rare events, read when somebody asks. Nothing runs per message.

No reading visits the connections: a scrape costs the same with one as with 100 000 of them.
"""

import time
from collections.abc import Callable

from opentelemetry.metrics import MeterProvider

from shim.flags import Evaluation
from shim.model import (
    Closing,
    Connection,
    Coverage,
    Decision,
    Duration,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Role,
    Stage,
    Time,
    Verdict,
    seconds,
)
from shim.router import Observer
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

    def opened(
        self,
        connection: Connection,
        evaluation: Evaluation,
        stage: Stage,
        acting: Role | None,
        now: Time,
    ) -> None:
        self._all.connections.add(connection.kind.value, str(stage))
        self._all.registrations.add(connection.kind.value, str(stage))

    def closed(self, closing: Closing) -> None:
        kind = closing.connection.kind.value
        self._all.closings.add(kind, closing.cause.value, _code(closing.intended))
        self._all.connections.add(kind, str(closing.stage), by=-1)

    def stage_changed(self, connection: Connection, before: Stage, after: Stage, now: Time) -> None:
        self._all.stage_changes.add(str(before), str(after))
        self._all.connections.add(connection.kind.value, str(before), by=-1)
        self._all.connections.add(connection.kind.value, str(after))

    def coverage(self, coverage: Coverage) -> None:
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

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        self._all.decisions.add(role.value, _yes(acted), connection.kind.value)

    def verdict(self, verdict: Verdict) -> None:
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

    def late(self, late: LateDecision) -> None:
        self._all.late_decisions.add(late.role.value)

    def outcome(self, outcome: Outcome) -> None:
        self._all.outcomes.add(
            outcome.role.value,
            outcome.result.value,
            _code(outcome.code),
            _yes(outcome.by_percentage),
            outcome.connection.kind.value,
        )
        if outcome.delay is not None:
            self._all.return_delay.add(seconds(outcome.delay), outcome.role.value)

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        self._all.proofs_of_life.add(role.value)

    # -- The operation --------------------------------------------------------------------------------

    def failure(self, failure: MonitorFailure) -> None:
        self._all.failures.add(failure.role.value, failure.call)

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        if engaged:
            self._all.brakes.add()

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        self._all.guard.set(to=holding)
        if holding:
            self._all.guards.add()

    def flags_loaded(self, load: FlagsLoad) -> None:
        refused = load.problem is not None
        self._all.flags_stale.set(to=refused)
        if refused:
            self._all.flags_failures.add()
            return
        self._all.flags_info.values = {(load.digest,): 1}
        self._all.flags_loaded_at.set(to=self._wall() / 1e9)

    def paused(self, start: Time, end: Time) -> None:
        self._all.pauses.add()
        self._all.paused.add(by=seconds(end - start))


def _code(code: int | None) -> str:
    return "none" if code is None else str(code)


def _yes(truth: bool) -> str:
    return "true" if truth else "false"
