"""Reading a SQLite ledger: a connection for each question, and conditions put together from values.

No text from outside becomes part of a statement: the conditions are constants, the values parameters.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from shim.ledger.protocols import UnusableError
from shim.ledger.rows import Row, storable
from shim.ledger.sqlite import schema

R = TypeVar("R", bound=Row)

_BUSY = 5.0


class Conditions:
    """Terms that all have to hold, and the values in them."""

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: list[Any] = []

    def add(self, term: str, *values: Any) -> "Conditions":
        """A term with a `?` for each value; left out where a value is None."""
        if None not in values:
            self._terms.append(term)
            self.values += values
        return self

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""


class Snapshot:
    """The ledger at one moment."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ask(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """The rows that a statement finds. Texts are compared in the form in which they are stored."""
        return self._database.execute(statement, storable(values))

    def rows(self, row: type[R], conditions: Conditions, order: str, limit: int = -1) -> list[R]:
        """Rows of a table."""
        names = (*row.columns(), "run" if row.TABLE != "run" else "id AS run", "id")
        statement = (
            f"SELECT {', '.join(names)} FROM {row.TABLE} {conditions} ORDER BY {order} LIMIT ?"
        )
        fields = (*row.columns(), "run", "id")
        return [
            row.read(dict(zip(fields, values, strict=True)))
            for values in self.ask(statement, *conditions.values, limit)
        ]


@contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """Open the ledger for one answer. Raises UnusableError if there is none, or it cannot be read."""
    if not path.exists():
        raise UnusableError(f"there is no ledger at {path}")
    database = None
    try:
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY
        )
        version = schema.check(database, str(path))
        if version < schema.newest():
            raise UnusableError(
                f"{path} has schema {version}: let a shim of this version write to it once"
                if version
                else f"{path} is empty: no shim has written to it yet"
            )
        database.execute("BEGIN")
        yield Snapshot(database)
    except sqlite3.Error as error:
        raise UnusableError(f"{path} cannot be read: {error}") from None
    finally:
        if database is not None:
            database.close()
