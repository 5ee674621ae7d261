"""The ledger of a simulation, which needs no thread: virtual time stands still while rows are committed, so
rows never have to be dropped."""

import sqlite3
from contextlib import suppress
from pathlib import Path

from shim.ledger.rows import Row, RunRow, Wall
from shim.ledger.sqlite.database import Database, first_opening

_GROUP = 4096
"""Rows of one commit: many, since each commit waits for the disk, but few enough for the processor's caches."""


class DirectSqliteLedger:
    """`DirectLedger` on a SQLite file."""

    def __init__(self, path: Path, run: RunRow) -> None:
        """Begin the file, or open it. Raises InputError when it cannot be used."""
        self.problem: str | None = None
        self._rows: list[Row] = []
        with first_opening(path) as self._lock:
            self._database = Database(path, run)
        self._next = self._database.last_number + 1

    def append(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= _GROUP:
            self.commit()

    def commit(self) -> None:
        rows, self._rows = self._rows, []
        if rows and self.problem is None:
            try:
                self._database.store(rows, self._next)
                self._next += len(rows)
            except (sqlite3.Error, OSError) as error:
                self.problem = str(error)

    def close(self, at: Wall) -> None:
        self.commit()
        if self.problem is None:
            with suppress(sqlite3.Error):
                self._database.stop(at)
        self._database.close()
        self._lock.release()
