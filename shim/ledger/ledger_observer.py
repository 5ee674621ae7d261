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
    Decision,
    Duration,
    FlagsLoad,
    Kind,
    LateDecision,
    MonitorFailure,
    Outcome,
    Role,
    Stage,
    Time,
    Verdict,
)
from shim.router import Observer

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
        self._decided: set[str] = set()

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        offset = self._offset()
        about = _about(connection)
        code = next((effect.code for effect in decision.effects if isinstance(effect, Close)), None)
        at = offset + decision.at
        if acted:
            self._ledger.append(ActionRow(*about, role, at, code))
        self._ledger.append(
            DecisionRow(
                *about,
                role,
                acted,
                at,
                offset + decision.deadline,
                decision.silence,
                code,
                tuple(offset + ping for ping in decision.pings),
            )
        )
        self._decided.add(connection.id)

    def verdict(self, verdict: Verdict) -> None:
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

    def late(self, late: LateDecision) -> None:
        at = self._offset() + late.at
        self._ledger.append(LateRow(*_about(late.connection), late.role, at, late.acting))

    def outcome(self, outcome: Outcome) -> None:
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

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        self._ledger.append(ProofRow(*_about(connection), role, self._offset() + now))

    def closed(self, closing: Closing) -> None:
        if closing.connection.id not in self._decided:
            return
        self._decided.discard(closing.connection.id)
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

    def failure(self, failure: MonitorFailure) -> None:
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

    def stage_changed(self, connection: Connection, before: Stage, after: Stage, now: Time) -> None:
        self._ledger.append(StageRow(*_about(connection), before, after, self._offset() + now))

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        self._ledger.append(BrakeRow(engaged, reason, self._offset() + now))

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        self._ledger.append(GuardRow(holding, acting_for, self._offset() + now))

    def flags_loaded(self, load: FlagsLoad) -> None:
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

    def coverage(self, coverage: Coverage) -> None:
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

    def paused(self, start: Time, end: Time) -> None:
        offset = self._offset()
        self._ledger.append(PauseRow(offset + start, offset + end))

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
