"""Questions about rows. Their sums are in `shim.ledger.queries.figures` and `trial_figures`."""

import hashlib
import json
from typing import TypeVar

from shim.ledger.protocols import Episode, Page, VerdictFilter
from shim.ledger.queries.figures import IMPROVEMENT, Figures
from shim.ledger.queries.snapshot import Conditions, Snapshot, quoted
from shim.ledger.queries.trial_figures import TrialFigures
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    BrakeRow,
    ClosingRow,
    DecisionRow,
    FailureRow,
    LateRow,
    PauseRow,
    ProofRow,
    Row,
    RunRow,
    StageRow,
    VerdictRow,
    Wall,
)
from shim.model import InputError, Kind, Return, Role, VerdictName

R = TypeVar("R", bound=Row)
_FOREVER: Wall = (1 << 63) - 1


class SqlReader(Figures, TrialFigures):
    """`LedgerReader` on a store that understands SQL."""

    def verdicts(
        self, which: VerdictFilter, *, limit: int = 100, cursor: str | None = None
    ) -> Page:
        where = Conditions()
        for column in ("user", "package", "connection_kind", "verdict", "kind", "acting", "rule"):
            where.add(f"{quoted(column)} = ?", getattr(which, column))
        where.add("recovered = ?", which.recovered)
        where.add(f"{IMPROVEMENT} = ?", which.improvement)
        where.add("at >= ?", which.since).add("at < ?", which.until)
        if which.verdict not in (None, VerdictName.MATCHED):
            where.add("verdict <> 'matched'")
        if cursor is not None:
            where.add("(at, id) < (?, ?)", *_parse(cursor))
        with self.snapshot() as ledger:
            rows = ledger.rows(VerdictRow, where, "at DESC, id DESC", limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(rows, f"{rows[-1].at}-{rows[-1].id}" if more and rows else None)

    def episode(self, verdict_id: int) -> Episode | None:
        with self.snapshot() as ledger:
            found = ledger.rows(VerdictRow, Conditions().add("id = ?", verdict_id), "id")
            return _episode(ledger, found[0]) if found else None

    def outcomes(
        self,
        *,
        kind: Kind | None = None,
        role: Role | None = None,
        result: Return | None = None,
        user: str | None = None,
        since: Wall | None = None,
        until: Wall | None = None,
        limit: int = 100,
    ) -> list[ActionRow]:
        where = Conditions().add("connection_kind = ?", kind).add("role = ?", role)
        where.add("result = ?", result).add('"user" = ?', user)
        where.add("acted_at >= ?", since).add("acted_at < ?", until)
        with self.snapshot() as ledger:
            return ledger.rows(ActionRow, where, "acted_at DESC, id DESC", limit)

    def rows(
        self, row: type[R], since: Wall | None = None, until: Wall | None = None, limit: int = 1000
    ) -> list[R]:
        where = Conditions()
        if row.AGE is not None or "at" in row.columns():
            age = row.AGE or "at"
            where.add(f"{age} >= ?", since).add(f"{age} < ?", until)
        with self.snapshot() as ledger:
            return ledger.rows(row, where, "id DESC", limit)

    def brake(self) -> BrakeRow | None:
        return next(iter(self.rows(BrakeRow, limit=1)), None)

    def digest(self) -> tuple[str, int]:
        """Table by table, in the order of their numbers, each row counts as a line of JSON: a list that
        begins with the table's name."""
        digest, count = hashlib.sha256(), 0
        with self.snapshot() as ledger:
            for row in ROWS:
                for values in ledger.ask(f"SELECT * FROM {row.TABLE} ORDER BY id"):
                    count += 1
                    line = [row.TABLE, *values]
                    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
                    digest.update(text.encode() + b"\n")
        return digest.hexdigest(), count


def _episode(ledger: Snapshot, verdict: VerdictRow) -> Episode:
    """What belongs to a verdict: all about its connection from the silence judged to the next one."""

    def mine(row: type[R], age: str = "at") -> list[R]:
        where = _about(verdict)
        where.add(f"{age} >= ?", verdict.last_activity).add(f"{age} < ?", until)
        return ledger.rows(row, where, f"{age}, id")

    later = _about(verdict).add("at >= ?", verdict.at)
    later.add("last_activity > ?", verdict.last_activity)
    following = ledger.rows(VerdictRow, later, "at", 1)
    until = following[0].last_activity if following else _FOREVER
    pauses = Conditions().add("run = ?", verdict.run)
    pauses.add("at >= ?", verdict.last_activity).add("since <= ?", verdict.at)
    (run,) = ledger.rows(RunRow, Conditions().add("id = ?", verdict.run), "id")
    return Episode(
        verdict=verdict,
        run=run,
        decisions=mine(DecisionRow),
        late=mine(LateRow),
        action=next(iter(mine(ActionRow, "acted_at")), None),
        closing=next(iter(mine(ClosingRow)), None),
        proofs=mine(ProofRow),
        failures=mine(FailureRow),
        stages=mine(StageRow),
        pauses=ledger.rows(PauseRow, pauses, "at"),
    )


def _about(verdict: VerdictRow) -> Conditions:
    """The indexes contain the user, not the connection."""
    where = Conditions().add("run = ?", verdict.run).add("connection = ?", verdict.connection)
    return where.add('"user" = ?', verdict.user)


def _parse(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition("-")
    if not (at.isdecimal() and number.isdecimal()):
        raise InputError(f"{cursor!r} is no cursor of this list")
    return int(at), int(number)
