"""From what the router tells to rows of the ledger."""

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
            self._ledger.append(ActionRow(*about, role, at, code))
        self._ledger.append(
            DecisionRow(
                *about,
                role,
                decided.acted,
                at,
                offset + decision.deadline,
                decision.silence,
                code,
                tuple(offset + ping for ping in decision.pings),
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
                verdict.name,
                verdict.kind,
                offset + verdict.at,
                verdict.first,
                verdict.acting,
                None if control_at is None else offset + control_at,
                None if candidate_at is None else offset + candidate_at,
                verdict.recovered,
                offset + verdict.last_activity,
                verdict.rule,
                verdict.trace,
            )
        )

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        at = self._offset() + late.at
        self._ledger.append(LateRow(*_about(late.connection), late.role, at, late.acting))

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        offset = self._offset()
        self._ledger.append(
            ActionRow(
                *_about(outcome.connection),
                outcome.role,
                offset + outcome.acted_at,
                outcome.code,
                outcome.result,
                offset + outcome.at,
                outcome.delay,
                outcome.by_percentage,
            )
        )

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        at = self._offset() + proof.at
        self._ledger.append(ProofRow(*_about(proof.connection), proof.role, at))

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        if closing.connection.id not in self._timed_out:
            return
        self._timed_out.discard(closing.connection.id)
        offset = self._offset()
        self._ledger.append(
            ClosingRow(
                *_about(closing.connection),
                closing.stage,
                offset + closing.opened_at,
                offset + closing.at,
                closing.cause,
                closing.intended,
                closing.observed,
            )
        )

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        about = failure.connection
        self._ledger.append(
            FailureRow(
                failure.role,
                failure.call,
                failure.reason,
                self._offset() + failure.at,
                *(
                    (None,) * 4
                    if about is None
                    else (about.id, about.kind, about.user, about.package)
                ),
            )
        )

    @handles(StageChanged)
    def _stage_changed(self, change: StageChanged) -> None:
        at = self._offset() + change.at
        self._ledger.append(StageRow(*_about(change.connection), change.before, change.after, at))

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self._ledger.append(BrakeRow(brake.engaged, brake.reason, self._offset() + brake.at))

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self._ledger.append(GuardRow(guard.holding, guard.acting_for, self._offset() + guard.at))

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        self._ledger.append(
            FlagsRow(
                self._offset() + load.at,
                load.file,
                load.digest,
                load.before,
                load.problem,
                load.by,
                load.reason,
            )
        )

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        offset = self._offset()
        self._ledger.append(
            CoverageRow(
                coverage.kind,
                offset + coverage.since,
                offset + coverage.until,
                coverage.connected,
                coverage.control_acted,
                coverage.candidate_acted,
                coverage.watched,
                coverage.pings,
                coverage.heartbeat_interval,
                coverage.control_users,
                coverage.candidate_users,
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


def _about(connection: Connection) -> tuple[str, Kind, str, str, str | None]:
    return (
        connection.id,
        connection.kind,
        connection.user,
        connection.session,
        connection.package,
    )
