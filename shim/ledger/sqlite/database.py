"""The writer's connection to the SQLite file: opening it, committing rows, deleting old ones.

Rules: docs/design.md#r15.
"""

import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shim.ledger.rows import ROWS, ActionRow, BrakeRow, Row, RunRow, Wall, storable
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.retention import Retention
from shim.model import Duration, InputError

_PRAGMAS = {
    "journal_mode": "WAL",
    "synchronous": "FULL",
    "wal_autocheckpoint": "1000",
    "journal_size_limit": str(64 << 20),
    "cache_size": "-32000",
}
"""FULL syncs the write-ahead log at every commit: what was committed survives a loss of power. Every
1000 pages (4 MiB) of it go into the database; the cache is in KiB."""

_BUSY, _BUSY_AT_START = 1.0, 10.0
"""Seconds to wait while another program holds the file's write lock; a backup may hold it for a while."""


@contextmanager
def first_opening(path: Path) -> Iterator[file.Lock]:
    """Take the ledger's lock and open the file in this context; a failure leaves no new file behind.

    Raises InputError when the file cannot be used.
    """
    file.check_kind(path.resolve())
    try:
        lock = file.Lock(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    was_there = os.path.lexists(path)
    try:
        yield lock
    except BaseException as error:
        if not was_there:
            file.remove(path)
        lock.withdraw()
        if isinstance(error, sqlite3.Error | OSError):
            raise InputError(f"{path} cannot be used as a ledger: {error}") from None
        raise


class Database:
    """A connection that writes. After any error that a row did not cause it cannot be used any more.

    `began_run`: the run was not in the file before. `last_number` is that of the run's last row.
    """

    def __init__(self, path: Path, run: RunRow, *, goes_on: bool = False) -> None:
        """Open the file, or begin it, to write for this run, which may have begun before.

        `goes_on`: the run has written before, so that a file without it is another one. Raises InputError
        for a file that is no ledger, a newer shim's or another process's, ReplacedError for another file.
        """
        self._path = path.resolve()
        file.check_kind(self._path)
        file.create(self._path)
        self._identity = file.Identity(path)
        try:
            self.connection = _connect(path, _BUSY if goes_on else _BUSY_AT_START)
        except sqlite3.Error:
            self._identity.close()
            raise
        try:
            version = schema.check(self.connection, str(path))
            for name, value in _PRAGMAS.items():
                (answer,) = self.connection.execute(f"PRAGMA {name} = {value}").fetchone() or ("",)
                if name == "journal_mode" and answer != "wal":
                    raise InputError(f"{path}: its file system cannot hold a write-ahead log")
            schema.migrate(self.connection, version)
            with self._transaction():
                found = self._find(run)
                self.began_run = found is None
                if found is None and goes_on and version:
                    raise file.ReplacedError(f"{path} is not the ledger of this run")
                self._run, self.last_number = found or self._begin(run)
            # From now on the file itself, without its log, begins like a database and has the run.
            self.connection.execute("PRAGMA wal_checkpoint").fetchone()
            self._inserts = {row: _insert(row, self._run) for row in ROWS}
            self._retention: Retention | None = None
            self._uuid = run.uuid
            self._companions = file.Companions(self._path)
            self._in_file: int | None = None
            self._changed: tuple[int, int] | None = None
            self._verify()
            self.connection.execute(f"PRAGMA busy_timeout = {round(_BUSY * 1000)}").fetchone()
        except BaseException:
            self.close()
            raise

    def _find(self, run: RunRow) -> tuple[int, int] | None:
        """The run's id in this file, and its last row's number."""
        found: tuple[int, int] | None = self.connection.execute(
            "SELECT id, last_number FROM run WHERE uuid = ?", (run.uuid,)
        ).fetchone()
        return found

    def _begin(self, run: RunRow) -> tuple[int, int]:
        names, values = run.columns(), run.values()
        number = self.connection.execute(
            f"INSERT INTO run ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values
        ).lastrowid
        assert number is not None
        return number, run.last_number

    def brake(self) -> BrakeRow | None:
        """The last change of the brake, in any run."""
        names = BrakeRow.columns()
        found = self.connection.execute(
            f"SELECT {', '.join(names)} FROM brake ORDER BY id DESC LIMIT 1"
        ).fetchone()
        return BrakeRow.read(dict(zip(names, found, strict=True))) if found else None

    def censor(self, at: Wall) -> int:
        """Settle what earlier runs left open: nobody watched whether those clients came back (R15).

        These are the last rows of those runs: they get the numbers that follow.
        """
        with self._transaction():
            pending = self.connection.execute(
                "SELECT run, id FROM action WHERE result IS NULL AND run <> ? ORDER BY id",
                (self._run,),
            ).fetchall()
            for run, action in pending:
                self.connection.execute(
                    "UPDATE run SET last_number = last_number + 1 WHERE id = ?", (run,)
                )
                self.connection.execute(
                    "UPDATE action SET result = 'censored', at = ?, "
                    "number = (SELECT last_number FROM run WHERE id = ?) WHERE id = ?",
                    (at, run, action),
                )
        return len(pending)

    def check(self) -> None:
        """Raises MovedError, OverwrittenError or ReplacedError if the file is not the one that was written."""
        self._identity.check()
        self._companions.check()
        self._verify()

    def _verify(self) -> None:
        """Whoever changed the file, it has to have what was in it before, this run's rows up to a number.

        Asked is the file itself: its log has the latest rows also when another file was copied over it.
        """
        changed = self._identity.last_change()
        if changed == self._changed:
            return
        try:
            number = self._number_in_file()
        except sqlite3.Error:
            return  # somebody is writing to it; it is looked at again
        if number is None or (self._in_file is not None and number < self._in_file):
            raise file.ReplacedError(
                f"{self._path} was written over by another ledger, or an older copy"
            )
        self._in_file, self._changed = number, changed

    def _number_in_file(self) -> int | None:
        """The run's last number in the file itself, None if the run is not there."""
        database = sqlite3.connect(f"{self._path.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            found: tuple[int] | None = database.execute(
                "SELECT last_number FROM run WHERE uuid = ?", (self._uuid,)
            ).fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            return None  # there is no such table
        finally:
            database.close()
        return None if found is None else found[0]

    def abandon(self) -> None:
        """Another file is at the path: what SQLite keeps beside ours must not be read with that one."""
        self._companions.remove()

    def store(self, rows: Sequence[Row], first: int, seen_at: Wall | None = None) -> None:
        """Commit these rows, all or none; the number of the first is `first`, and the others follow.

        Rows that are there already are left out: an earlier try may have been committed, although it
        ended in an error.
        """
        if first <= self.last_number:
            return
        by_table: defaultdict[type[Row], list[Sequence[Any]]] = defaultdict(list)
        last = first - 1
        for last, row in enumerate(rows, first):
            by_table[type(row)].append((last, *row.values()))
        try:
            self._insert(by_table, last, seen_at)
        except UnicodeEncodeError:
            # A lone surrogate somewhere; to look for it in every text would cost more than to begin anew.
            for table, values in by_table.items():
                by_table[table] = [storable(of_row) for of_row in values]
            self._insert(by_table, last, seen_at)
        self.last_number = last

    def _insert(
        self, by_table: Mapping[type[Row], Sequence[Sequence[Any]]], last: int, seen_at: Wall | None
    ) -> None:
        with self._transaction():
            for table, values in by_table.items():
                self.connection.executemany(self._inserts[table], values)
            self.connection.execute(
                "UPDATE run SET last_number = ?, seen_at = coalesce(?, seen_at) WHERE id = ?",
                (last, seen_at, self._run),
            )

    def trim(self, keep: Duration, now: Wall, most: int) -> int:
        """Delete at most `most` rows of each table and run that were kept for longer than `keep`.

        Answers how many rows were deleted.
        """
        if self._retention is None:
            self._retention = Retention(self.connection, self._run, keep)
        with self._transaction():
            return self._retention.trim(now, most)

    def trim_spent(self, spent: Mapping[str, int], most: int) -> int:
        """Delete at most `most` rows of each table and run, up to these numbers; return how many."""
        if not spent:
            return 0
        with self._transaction():
            return sum(
                self.connection.execute(
                    f"DELETE FROM {row.TABLE} WHERE id IN (SELECT {row.TABLE}.id FROM {row.TABLE} "
                    "WHERE run = (SELECT id FROM run WHERE uuid = ?) AND number <= ? LIMIT ?)",
                    (uuid, number, most),
                ).rowcount
                for uuid, number in spent.items()
                for row in ROWS
                if row.AGE is not None
            )

    def stop(self, at: Wall) -> None:
        """Record that the run ended cleanly."""
        self.connection.execute(
            "UPDATE run SET stopped_at = ?1, seen_at = ?1 WHERE id = ?2", (at, self._run)
        )

    def copy(self, to: Path) -> None:
        """Copy everything that was committed to a new file."""
        file.create(to)
        target = sqlite3.connect(to)
        try:
            self.connection.backup(target)
        finally:
            target.close()

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self.connection.close()
        self._identity.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            raise


def _connect(path: Path, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=patience,
        check_same_thread=False,
    )


def _insert(row: type[Row], run: int) -> str:
    """The statement that stores a row's number and `values` for this run."""
    names = ("number", *row.columns())
    statement = (
        f"INSERT INTO {row.TABLE} (run, {', '.join(names)}) "
        f"VALUES ({run}, {', '.join('?' * len(names))})"
    )
    if row is ActionRow:
        # An outcome settles the action that was stored when the timeout was acted on.
        settled = ", ".join(f"{name} = excluded.{name}" for name in names)
        statement += f" ON CONFLICT (run, connection) DO UPDATE SET {settled}"
    return statement
