"""The embedded ledger's reader; what it is asked is in `shim.ledger.queries`."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from shim.ledger.fleet_record import ALONE, FleetOrder, FleetRecord
from shim.ledger.process_record import ProcessRecord
from shim.ledger.protocols import UnusableError
from shim.ledger.queries.snapshot import FoundColumns, Snapshot
from shim.ledger.queries.sql_reader import SqlReader
from shim.ledger.rows import Wall, storable
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.ledger_file import check_kind
from shim.ledger.time_limit import time_left

_BUSY = 5.0
_STEPS = 50_000
"""Steps of SQLite's virtual machine between two looks at the clock: about a millisecond."""


class SqliteReader(SqlReader):
    """`LedgerReader` on a SQLite file. It keeps nothing open, so that the file may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def place(self) -> str:
        return str(self.path)

    def concluded_until(self) -> Wall | None:
        return None

    def processes(self, now: Wall) -> list[ProcessRecord]:
        return []

    def fleet(self) -> FleetRecord:
        return ALONE

    def orders(self, limit: int) -> list[FleetOrder]:
        return []

    def close(self) -> None:
        """Nothing is kept open."""

    @contextmanager
    def take_snapshot(self) -> Iterator[Snapshot]:
        path = self.path
        try:
            is_there = path.exists()
        except OSError as error:
            raise UnusableError(f"{path} cannot be read: {error.strerror}") from None
        if not is_there:
            raise UnusableError(f"there is no ledger at {path}")
        check_kind(path.resolve())
        database = None
        try:
            database = sqlite3.connect(
                f"{path.absolute().as_uri()}?{_mode(path.resolve())}",
                uri=True,
                isolation_level=None,
                timeout=_BUSY,
                check_same_thread=False,
            )
            version = schema.check(database, str(path))
            if not version:
                raise UnusableError(f"{path} is empty: no shim has written to it yet")
            if version < schema.newest():
                # Only a shim that starts changes the file.
                older, database = database, sqlite3.connect("", isolation_level=None)
                with closing(older):
                    older.backup(database)
                schema.migrate(database, version)
            database.execute("BEGIN")
            if time_left() is not None:
                database.set_progress_handler(_is_too_late, _STEPS)
            yield _SqliteSnapshot(database)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise UnusableError("the ledger takes too long to answer this question") from None
            raise UnusableError(f"{path} cannot be read: {error}") from None
        finally:
            if database is not None:
                database.close()


def _mode(path: Path) -> str:
    """How the file is opened: SQLite cannot put its companions on a read-only medium, and needs none there
    unless a log is left."""
    log = Path(f"{path}-wal")
    if os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
        return "mode=ro"
    return "mode=ro&immutable=1"


class _SqliteSnapshot(Snapshot):
    USER = '"user"'

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def ask(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(statement, storable(values))

    def stream(self, statement: str) -> sqlite3.Cursor:
        return self._database.execute(statement)

    def columns(
        self, few: Sequence[str], numbers: Sequence[str], found: str, *values: Any
    ) -> FoundColumns:
        # As JSON they take a little less time, and most of it without Python's lock.
        names = [*few, *numbers]
        named = ", ".join(f"{name} AS c{place}" for place, name in enumerate(names))
        arrays = ", ".join(f"json_group_array(c{place})" for place in range(len(names)))
        (row,) = self.ask(f"SELECT {arrays} FROM (SELECT {named} {found})", *values)
        columns = [msgspec.json.decode(column, type=list[Any]) for column in row]
        rows = [*zip(*columns[: len(few)], strict=True)]
        table = sorted({*rows}, key=lambda row: [(value is None, value) for value in row])
        places = {row: place for place, row in enumerate(table)}
        return FoundColumns(
            table=table,
            places=np.array([*map(places.__getitem__, rows)], np.int64),
            numbers=[
                np.fromiter(map(hash, column) if name == self.USER else column, np.int64)
                for name, column in zip(numbers, columns[len(few) :], strict=True)
            ],
        )


def _is_too_late() -> bool:
    left = time_left()
    return left is not None and left <= 0
