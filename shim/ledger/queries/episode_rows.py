"""The rows of one episode, found among all rows of its connection.

The rows of a connection are found by their run and the connection's id, and put in order by their numbers.
Times cannot be trusted: an older shim followed the wall clock, which may have been set in the middle.
"""

from typing import TypeVar

from shim.ledger.completeness import Completeness
from shim.ledger.protocols import Episode, UnusableError, order_in_run, uncompared
from shim.ledger.queries.snapshot import Conditions, Snapshot
from shim.ledger.rows import (
    ActionRow,
    ClosingRow,
    ConnectionRow,
    DecisionRow,
    FailureRow,
    LateRow,
    PauseRow,
    ProofRow,
    RunRow,
    StageRow,
    VerdictRow,
)

R = TypeVar("R", bound=ConnectionRow | FailureRow)
A = TypeVar("A", FailureRow, StageRow)


class EpisodeRows:
    """Finds what belongs to a verdict: all about its connection from the silence judged to the next one."""

    def __init__(self, ledger: Snapshot, verdict: VerdictRow) -> None:
        self._ledger = ledger
        self._verdict = verdict
        verdicts = self._all(VerdictRow)
        place = [row.id for row in verdicts].index(verdict.id)
        self._before = verdicts[place - 1] if place else None
        self._after = verdicts[place + 1] if place + 1 < len(verdicts) else None

    def episode(self, record: Completeness | None) -> Episode:
        """Raises UnusableError if the ledger does not have the verdict's run."""
        verdict, is_last = self._verdict, self._after is None
        of_run = Conditions().add("id = ?", verdict.run)
        if not (runs := self._ledger.rows(RunRow, of_run, "id")):
            raise UnusableError(f"the ledger does not have the run of verdict {verdict.id}")
        pauses = Conditions().add("run = ?", verdict.run)
        pauses.add("at >= ?", verdict.last_activity).add("since <= ?", verdict.at)
        all_decisions, all_late = self._all(DecisionRow), self._all(LateRow)
        decisions = self._of_silence(all_decisions, all_late)
        # Decisions are the first rows to be dropped when there is no room.
        acted = is_last and not any(row.acted for row in all_decisions)
        acted = acted or any(row.acted for row in decisions)
        return Episode(
            verdict=verdict,
            run=runs[0],
            decisions=decisions,
            late=[row for row in all_late if self._comes_after(row)],
            action=next(iter(self._all(ActionRow)), None) if acted else None,
            closing=next(iter(self._all(ClosingRow)), None) if is_last else None,
            proofs=self._all(ProofRow) if is_last else [],
            failures=self._around(FailureRow),
            stages=self._around(StageRow),
            pauses=self._ledger.rows(PauseRow, pauses, "at"),
            record=record,
        )

    def _all(self, row: type[R]) -> list[R]:
        """All of the connection, in the order of writing."""
        verdict = self._verdict
        about = Conditions().add("run = ?", verdict.run).add("connection = ?", verdict.connection)
        # The indexes contain the user, not the connection, and begin with the time.
        about.add('"user" = ?', verdict.user).add(f"{row.AGE} > ?", 0)
        return sorted(self._ledger.rows(row, about, "id"), key=order_in_run)

    def _of_silence(self, decisions: list[DecisionRow], late: list[LateRow]) -> list[DecisionRow]:
        """A late decision comes after the verdict of its silence, any other one before."""
        too_late = uncompared(decisions, late)
        return [
            row
            for row in decisions
            if (self._comes_after(row) if row in too_late else self._comes_before(row))
        ]

    def _around(self, row_type: type[A]) -> list[A]:
        """Rows that are about no silence: from its last sign of life to that of the next silence."""
        since, following = self._verdict.last_activity, self._after
        return [
            row
            for row in self._all(row_type)
            if (self._comes_before(row) and row.at >= since)
            or (self._comes_after(row) and (following is None or row.at < following.last_activity))
        ]

    def _comes_before(self, row: R) -> bool:
        """Whether a row was written after the verdict before, and not after this one."""
        order = order_in_run(row)
        return order <= order_in_run(self._verdict) and (
            self._before is None or order > order_in_run(self._before)
        )

    def _comes_after(self, row: R) -> bool:
        """Whether a row was written after this verdict, and not after the next one."""
        order = order_in_run(row)
        return order > order_in_run(self._verdict) and (
            self._after is None or order <= order_in_run(self._after)
        )
