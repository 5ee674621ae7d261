"""The embedded ledger's reader; what it is asked is in `shim.ledger.queries`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shim.ledger.protocols import UnusableError
from shim.ledger.queries.snapshot import Snapshot
from shim.ledger.queries.sql_reader import SqlReader
from shim.ledger.rows import storable
from shim.ledger.sqlite import schema

_BUSY = 5.0


class SqliteReader(SqlReader):
    """`LedgerReader` on a SQLite file. It keeps nothing open, so that the file may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        return str(self.path)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        path = self.path
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
            yield _SqliteSnapshot(database)
        except sqlite3.Error as error:
            raise UnusableError(f"{path} cannot be read: {error}") from None
        finally:
            if database is not None:
                database.close()


class _SqliteSnapshot(Snapshot):
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ask(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(statement, storable(values))
