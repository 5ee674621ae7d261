"""Makes rows of the ledger of the events of the router."""

from collections.abc import Callable

from shim.ledger.protocols import RowTaker
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
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
    Close,
    Closing,
    Connection,
    Coverage,
    Duration,
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
    Decided,
    GuardChanged,
    Observer,
    Paused,
    ProofOfLife,
    StageChanged,
    handles,
)

_CHANGED: Duration = 10_000


class LedgerObserver(Observer):
    """Hands everything that has to be kept to the ledger, its times by the wall clock.

    `clock` is the one that the router is told, `wall` the wall clock, both in microseconds.
    """

    def __init__(
        self, ledger: RowTaker, clock: Callable[[], Time], wall: Callable[[], Wall]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wall = wall
        self._last_offset: Wall = wall() - clock()
        # The open connections that some monitor decided on: their closings are kept.
        self._timed_out: set[str] = set()

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        offset = self._offset()
        about, role, decision = _about(decided.connection), decided.role, decided.decision
        code = next((effect.code for effect in decision.effects if isinstance(effect, Close)), None)
        at = offset + decision.at
        if decided.acted:
            self._ledger.append(
                ActionRow(*about, role=role, acted_at=at, code=code, counted=decided.counted)
            )
        self._ledger.append(
            DecisionRow(
                *about,
                role=role,
                acted=decided.acted,
                at=at,
                deadline=offset + decision.deadline,
                silence=decision.silence,
                code=code,
                pings=tuple(offset + ping for ping in decision.pings),
                counted=decided.counted,
            )
        )
        self._timed_out.add(decided.connection.id)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        offset = self._offset()
        control_at, candidate_at = verdict.control_at, verdict.candidate_at
        self._ledger.append(
            VerdictRow(
                *_about(verdict.connection),
                verdict=verdict.name,
                kind=verdict.kind,
                at=offset + verdict.at,
                first=verdict.first,
                acting=verdict.acting,
                control_at=None if control_at is None else offset + control_at,
                candidate_at=None if candidate_at is None else offset + candidate_at,
                recovered=verdict.recovered,
                last_activity=offset + verdict.last_activity,
                rule=verdict.rule,
                trace=verdict.trace,
                overridden=verdict.placement.override or not verdict.placement.counted,
                placed_by=verdict.placement.group,
                counted=verdict.placement.counted,
            )
        )

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        at = self._offset() + late.at
        about = _about(late.connection)
        self._ledger.append(LateRow(*about, role=late.role, at=at, acting=late.acting))

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        offset = self._offset()
        window_ends = outcome.window_ends
        self._ledger.append(
            ActionRow(
                *_about(outcome.connection),
                role=outcome.role,
                acted_at=offset + outcome.acted_at,
                code=outcome.code,
                result=outcome.result,
                at=offset + outcome.at,
                delay=outcome.delay,
                by_percentage=outcome.by_percentage,
                placed_by=outcome.placement.group,
                counted=outcome.placement.counted,
                window_ends=None if window_ends is None else offset + window_ends,
            )
        )

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._ledger.append(
            ProofRow(
                *_about(proof.connection),
                role=proof.role,
                at=self._offset() + proof.at,
                guard_event=proof.guard_event,
                counted=proof.counted,
            )
        )

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        if closing.connection.id not in self._timed_out:
            return
        self._timed_out.discard(closing.connection.id)
        offset = self._offset()
        self._ledger.append(
            ClosingRow(
                *_about(closing.connection),
                stage=closing.stage,
                opened_at=offset + closing.opened_at,
                at=offset + closing.at,
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
                at=self._offset() + failure.at,
                connection=None if about is None else about.id,
                connection_kind=None if about is None else about.kind,
                user=None if about is None else about.user,
                package=None if about is None else about.package,
                instance=None if about is None else about.instance,
            )
        )

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        at = self._offset() + change.at
        about = _about(change.connection)
        self._ledger.append(StageRow(*about, before=change.before, after=change.after, at=at))

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        at = self._offset() + brake.at
        self._ledger.append(BrakeRow(brake.engaged, brake.reason, at, brake.by_itself))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self._ledger.append(GuardRow(guard.holding, guard.acting_for, self._offset() + guard.at))

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        self._ledger.append(
            FlagsRow(
                at=self._offset() + load.at,
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
        offset = self._offset()
        self._ledger.append(
            CoverageRow(
                connection_kind=coverage.kind,
                since=offset + coverage.since,
                at=offset + coverage.until,
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

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        offset = self._offset()
        self._ledger.append(PauseRow(offset + pause.start, offset + pause.end))

    def _offset(self) -> Wall:
        """What makes a time of the monotonic clock one of the wall clock, as that goes now.

        Reading two clocks takes a moment; so that one instant has one time in all rows, only a real
        change counts.
        """
        offset = self._wall() - self._clock()
        if abs(offset - self._last_offset) > _CHANGED:
            self._last_offset = offset
        return self._last_offset


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
