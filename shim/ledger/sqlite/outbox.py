"""A SQLite ledger as an outbox: its runs, and what is to be shipped of each, in order.

The file is read beside its writer, who goes on meanwhile.

Rules: docs/design.md#r23.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from shim.ledger.columns import Column, columns_of
from shim.ledger.protocols import UnusableError
from shim.ledger.queries.snapshot import Conditions, quoted
from shim.ledger.rows import ROWS, Row, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Duration

_SHIPPED_ROWS = tuple(row for row in ROWS if row is not RunRow)


class Parcel(NamedTuple):
    """Rows of one run, the numbers after one and up to another.

    Attributes:
        last: the number of the last row.
        tables: each row's number and values, by table, in the order of the numbers.
    """

    last: int
    tables: Mapping[type[Row], list[tuple[Any, ...]]]


class Outbox(SqliteReader):
    """The runs of a SQLite ledger, and their rows in the order of their numbers."""

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        with self.snapshot() as ledger:
            return ledger.rows(RunRow, Conditions(), "id")

    def parcel(self, run: RunRow, after: int, most: int, offset: Duration) -> Parcel:
        """The rows of a run that follow the number `after`, at most about `most`, all their times moved by
        `offset`.

        Raises UnusableError if the file cannot be read, or was replaced by another without the run.
        """
        with self.snapshot() as ledger:
            # The number of the run may be another one's in a file that has taken the place of the first.
            asked = "SELECT id, last_number FROM run WHERE uuid = ?"
            found = next(iter(ledger.ask(asked, run.uuid)), None)
            if found is None:
                raise UnusableError(f"{self.place} has been replaced: a run is not in it any more")
            id, last = found
            last = min(last, after + most)
            tables = {}
            for row, statement in _STATEMENTS.items():
                moves = (offset,) * statement.count("+ ?")
                if rows := list(ledger.ask(statement, *moves, id, after, last)):
                    tables[row] = rows
        return Parcel(last, tables)

    def unnumbered(self) -> int:
        """How many rows an older version wrote, without a number: they cannot be shipped."""
        counted = (
            f"(SELECT count(*) FROM {row.TABLE} WHERE number IS NULL)" for row in _SHIPPED_ROWS
        )
        ((count,),) = self.ask(f"SELECT {' + '.join(counted)}")
        return int(count)


def _statement(row: type[Row]) -> str:
    columns = ", ".join(map(_moved, columns_of(row)))
    return (
        f"SELECT number, {columns} FROM {row.TABLE} "
        "WHERE run = ? AND number > ? AND number <= ? ORDER BY number"
    )


def _moved(column: Column) -> str:
    name = quoted(column.name)
    if not column.moments:
        return name
    if column.kind is int:
        return f"{name} + ?"
    return f"(SELECT json_group_array(value + ?) FROM json_each({name}))"


_STATEMENTS = {row: _statement(row) for row in _SHIPPED_ROWS}
