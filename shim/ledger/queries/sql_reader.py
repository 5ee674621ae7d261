"""Questions about rows. Their sums are in `shim.ledger.queries.figures` and `trial_figures`."""

import hashlib
import json
from abc import abstractmethod
from typing import Any, TypeVar

from shim.ledger.completeness import describe_completeness
from shim.ledger.fleet_record import FleetRecord
from shim.ledger.protocols import Episode, Page, VerdictFilter
from shim.ledger.queries.episode_rows import EpisodeRows
from shim.ledger.queries.figures import IMPROVEMENT, Figures
from shim.ledger.queries.snapshot import Conditions, quoted
from shim.ledger.queries.trial_figures import TrialFigures
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    BrakeRow,
    Row,
    RunRow,
    VerdictRow,
    Wall,
)
from shim.model import InputError, Kind, Return, Role, VerdictName

R = TypeVar("R", bound=Row)


class SqlReader(Figures, TrialFigures):
    """`LedgerReader` on a store that understands SQL."""

    @abstractmethod
    def fleet(self) -> FleetRecord: ...

    def newest_first(self, row: type[Row]) -> str:
        """The order of a list: the rows that were written last come first."""
        return "id DESC"

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
        record = describe_completeness(self.fleet())
        with self.snapshot() as ledger:
            rows = ledger.rows(VerdictRow, where, "at DESC, id DESC", limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        following = f"{rows[-1].at}-{rows[-1].id}" if more and rows else None
        return Page(rows, following, record)

    def episode(self, verdict_id: int) -> Episode | None:
        record = describe_completeness(self.fleet())
        with self.snapshot() as ledger:
            found = ledger.rows(VerdictRow, Conditions().add("id = ?", verdict_id), "id")
            return EpisodeRows(ledger, found[0]).episode(record) if found else None

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
            return ledger.rows(row, where, self.newest_first(row), limit)

    def brake(self) -> BrakeRow | None:
        return next(iter(self.rows(BrakeRow, limit=1)), None)

    def digest(self) -> tuple[str, int]:
        """Table by table, in the order of runs and numbers, each row counts as a line of JSON: a list that
        begins with the table's name, its run's `uuid`, and its number."""
        digest, count = hashlib.sha256(), 0
        with self.snapshot() as ledger:
            for row in ROWS:
                for values in ledger.stream(_every(row)):
                    count += 1
                    line = [row.TABLE, *map(_plain, values)]
                    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
                    digest.update(text.encode() + b"\n")
        return digest.hexdigest(), count


def _every(row: type[Row]) -> str:
    names = ", ".join(f"{row.TABLE}.{quoted(name)}" for name in row.columns())
    if row is RunRow:
        return f"SELECT NULL, NULL, {names} FROM run ORDER BY uuid"
    return (
        f"SELECT run.uuid, {row.TABLE}.number, {names} FROM {row.TABLE} "
        f"JOIN run ON run.id = {row.TABLE}.run ORDER BY 1, 2, {row.TABLE}.id"
    )


def _plain(value: Any) -> Any:
    """A truth as SQLite has it: 0 or 1."""
    return int(value) if isinstance(value, bool) else value


def _parse(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition("-")
    if not (at.isdecimal() and number.isdecimal()):
        raise InputError(f"{cursor!r} is no cursor of this list")
    return int(at), int(number)
