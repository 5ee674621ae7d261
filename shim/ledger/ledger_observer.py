"""Makes rows of the ledger of the events of the router."""

from collections.abc import Callable

from shim.ledger.protocols import RowTaker
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    ClockJumpRow,
    ClosingRow,
    CoverageRow,
    DecisionRow,
    FailureRow,
    FlagsRow,
    GuardRow,
    LateRow,
    PauseRow,
    ProofRow,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import (
    SECOND,
    Close,
    Closing,
    Connection,
    Coverage,
    FlagsLoad,
    Kind,
    LateDecision,
    MonitorFailure,
    Outcome,
    Time,
    Verdict,
)
from shim.router import (
    BrakeChanged,
    ClockJumped,
    Decided,
    GuardChanged,
    MachineSlept,
    Observer,
    Paused,
    ProofOfLife,
    StageChanged,
    handles,
)


class LedgerObserver(Observer):
    """Hands everything that has to be kept to the ledger.

    `wall` makes the run's time of day of a time that the router is told: always the same of the same, so
    that one instant has one time in all rows.
    """

    def __init__(self, ledger: RowTaker, wall: Callable[[Time], Wall]) -> None:
        self._ledger = ledger
        self._wall = wall
        # The open connections that some monitor decided on: their closings are kept.
        self._timed_out: set[str] = set()

    def _wall_or_none(self, time: Time | None) -> Wall | None:
        return None if time is None else self._wall(time)

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        wall = self._wall
        about, role, decision = _about(decided.connection), decided.role, decided.decision
        code = next((effect.code for effect in decision.effects if isinstance(effect, Close)), None)
        at = wall(decision.at)
        if decided.acted:
            placement = decided.placement
            self._ledger.append(
                ActionRow(
                    *about,
                    role=role,
                    acted_at=at,
                    code=code,
                    by_percentage=placement.group is not None,
                    placed_by=placement.group,
                    window_ends=self._wall_or_none(decided.window_ends),
                    counted=placement.counted,
                    last_activity=self._wall_or_none(decided.last_activity),
                )
            )
        self._ledger.append(
            DecisionRow(
                *about,
                role=role,
                acted=decided.acted,
                at=at,
                deadline=wall(decision.deadline),
                silence=decision.silence,
                code=code,
                pings=tuple(wall(ping) for ping in decision.pings),
                counted=decided.counted,
            )
        )
        self._timed_out.add(decided.connection.id)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        wall = self._wall
        self._ledger.append(
            VerdictRow(
                *_about(verdict.connection),
                verdict=verdict.name,
                kind=verdict.kind,
                at=wall(verdict.at),
                first=verdict.first,
                acting=verdict.acting,
                control_at=self._wall_or_none(verdict.control_at),
                candidate_at=self._wall_or_none(verdict.candidate_at),
                recovered=verdict.recovered,
                last_activity=wall(verdict.last_activity),
                rule=verdict.rule,
                trace=verdict.trace,
                overridden=verdict.placement.override or not verdict.placement.counted,
                placed_by=verdict.placement.group,
                counted=verdict.placement.counted,
            )
        )

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        at = self._wall(late.at)
        about = _about(late.connection)
        self._ledger.append(LateRow(*about, role=late.role, at=at, acting=late.acting))

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        wall = self._wall
        self._ledger.append(
            ActionRow(
                *_about(outcome.connection),
                role=outcome.role,
                acted_at=wall(outcome.acted_at),
                code=outcome.code,
                result=outcome.result,
                at=wall(outcome.at),
                delay=outcome.delay,
                by_percentage=outcome.by_percentage,
                placed_by=outcome.placement.group,
                counted=outcome.placement.counted,
                window_ends=wall(outcome.window_ends),
                last_activity=wall(outcome.last_activity),
            )
        )

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._ledger.append(
            ProofRow(
                *_about(proof.connection),
                role=proof.role,
                at=self._wall(proof.at),
                guard_event=proof.guard_event,
                counted=proof.counted,
            )
        )

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        if closing.connection.id not in self._timed_out:
            return
        self._timed_out.discard(closing.connection.id)
        wall = self._wall
        self._ledger.append(
            ClosingRow(
                *_about(closing.connection),
                stage=closing.stage,
                opened_at=wall(closing.opened_at),
                at=wall(closing.at),
                cause=closing.cause,
                intended=closing.intended,
                observed=closing.observed,
            )
        )

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        about = failure.connection
        self._ledger.append(
            FailureRow(
                role=failure.role,
                call=failure.call,
                reason=failure.reason,
                at=self._wall(failure.at),
                connection=None if about is None else about.id,
                connection_kind=None if about is None else about.kind,
                user=None if about is None else about.user,
                package=None if about is None else about.package,
                instance=None if about is None else about.instance,
            )
        )

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        at = self._wall(change.at)
        about = _about(change.connection)
        self._ledger.append(StageRow(*about, before=change.before, after=change.after, at=at))

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        at = self._wall(brake.at)
        self._ledger.append(BrakeRow(brake.engaged, brake.reason, at, brake.by_itself))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self._ledger.append(GuardRow(guard.holding, guard.acting_for, self._wall(guard.at)))

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        self._ledger.append(
            FlagsRow(
                at=self._wall(load.at),
                file=load.file,
                digest=load.digest,
                before=load.before,
                problem=load.problem,
                by=load.by,
                reason=load.reason,
                deciding=load.deciding,
            )
        )

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        at, length = self._wall(coverage.until), coverage.until - coverage.since
        self._ledger.append(
            CoverageRow(
                connection_kind=coverage.kind,
                # The machine may have slept meanwhile: then the time of day went on, and nobody watched.
                since=max(self._wall(coverage.since), at - length - SECOND),
                at=at,
                connected=coverage.connected,
                control_acted=coverage.control_acted,
                candidate_acted=coverage.candidate_acted,
                watched=coverage.watched,
                pings=coverage.pings,
                heartbeat_interval=coverage.heartbeat_interval,
                control_users=coverage.control_users,
                candidate_users=coverage.candidate_users,
            )
        )

    @handles(ClockJumped)
    def _clock_jumped(self, jump: ClockJumped) -> None:
        self._ledger.append(ClockJumpRow(self._wall(jump.at), jump.by, jump.ahead))

    @handles(MachineSlept)
    def _machine_slept(self, sleep: MachineSlept) -> None:
        at = self._wall(sleep.at)
        self._ledger.append(PauseRow(at - sleep.length, at))

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        wall = self._wall
        self._ledger.append(PauseRow(wall(pause.start), wall(pause.end)))


def _about(connection: Connection) -> tuple[str, Kind, str, str, str | None, str | None]:
    """The fields of a `ConnectionRow`; as a tuple, because a dictionary of them takes twice the time."""
    return (
        connection.id,
        connection.kind,
        connection.user,
        connection.session,
        connection.package,
        connection.instance,
    )
