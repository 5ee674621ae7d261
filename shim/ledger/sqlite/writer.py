"""The embedded ledger: one thread that commits rows to a SQLite file in groups.

Trouble with the file never reaches the caller that hands rows over. The rows wait in a bounded queue and are
tried again; a file that was replaced or damaged is moved aside, and another one begun. Each change from
good to bad and back is one line in the log, and `status` tells it at any time.

Rules: docs/design.md#r15.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

from msgspec.structs import replace

from shim.ledger.protocols import Status
from shim.ledger.rows import ActionRow, BrakeRow, FlagsRow, Row, RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite.database import Database, first_opening
from shim.ledger.sqlite.row_queue import RowQueue
from shim.model import Duration, InputError

log = logging.getLogger(__name__)

CAPACITY = 50_000
"""Rows that may wait; about 20 MB."""

_GROUP = 512
_SHORTEST_RETRY, _LONGEST_RETRY = 0.05, 5.0
_TRIM_EVERY = 60.0
"""Seconds, all three."""

_TRIM_ROWS = 100
"""Rows of a table that are deleted at once: a few milliseconds."""

_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_UNSTORABLE = (
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)
"""The errors that a row's own values cause; all other errors are trouble with the file, and may pass."""


_OTHER_FILE = (file.OverwrittenError, file.ReplacedError, InputError)
"""The file at the path is not ours, or no ledger."""


class _Standing:
    """What was committed and is still in force, so that another file has to begin with it."""

    def __init__(self) -> None:
        self._last: dict[type[Row], Row] = {}
        self._pending: dict[str, ActionRow] = {}

    def note(self, row: Row) -> None:
        """A row was committed."""
        if isinstance(row, ActionRow):
            if row.result is None:
                self._pending[row.connection] = row
            else:
                self._pending.pop(row.connection, None)
        elif isinstance(row, BrakeRow) or (isinstance(row, FlagsRow) and row.problem is None):
            self._last[type(row)] = row

    def rows(self) -> list[Row]:
        return [*self._last.values(), *self._pending.values()]


class SqliteLedger:
    """`LedgerWriter` on a SQLite file; the only one that writes to it."""

    def __init__(
        self,
        path: Path,
        run: RunRow,
        *,
        keep: Duration | None = None,
        capacity: int = CAPACITY,
        censors: bool = True,
        wall: Callable[[], Wall] = wall_clock,
        spent: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Open the file or begin it, and start the thread.

        `run` is this process (`begin_run`). Rows older than `keep` are deleted, in small steps, and so
        are those that are `spent`: up to these numbers, by the `uuid` of a run. `censors`: the outcomes
        that earlier runs left open are censored (R15). Raises InputError when the file cannot be used: it
        is another process's, no ledger (it is left as it is), a newer shim's, or cannot be written.
        """
        self.path = path
        self._keep = keep
        self._censors = censors
        self._wall = wall
        self._spent = spent
        self._run = run
        self._queue = RowQueue(capacity, wall)
        self._brake: BrakeRow | None = None
        self._database: Database | None = None
        self._problem: str | None = None
        self._next_number = 0
        self._standing = _Standing()
        self._written = 0
        self._last_commit: Wall | None = None
        self._next_trim = 0.0
        self._closing = Event()
        self._deadline = inf
        with first_opening(path) as self._lock:
            self._next_number = self._open().last_number + 1
        self._thread = Thread(target=self._work, name="shim-ledger", daemon=True)
        self._thread.start()

    # -- The caller's side ------------------------------------------------------------------------

    @property
    def process(self) -> str | None:
        return None

    @property
    def brake(self) -> BrakeRow | None:
        """The last change of the brake, before this run or in it."""
        return self._brake

    def append(self, row: Row) -> None:
        if isinstance(row, BrakeRow):
            self._brake = row
        self._queue.put(row)

    def flush(self, timeout: float) -> bool:
        return self._queue.settled(timeout)

    def close(self, timeout: float) -> bool:
        self._deadline = monotonic() + timeout
        self._queue.close()
        self._closing.set()
        self._thread.join(timeout + 1)
        return not self._thread.is_alive() and not self._queue.waiting

    def status(self) -> Status:
        return Status(
            problem=self._problem,
            queued=self._queue.waiting,
            written=self._written,
            dropped=self._queue.dropped,
            last_commit=self._last_commit,
        )

    # -- The thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while rows := self._next_rows():
                if not self._store(rows):
                    break
            self._look()
            if lost := self._queue.waiting:
                log.critical("ledger: %d rows are lost: %s", lost, self._problem)
            if self._database is not None:
                with suppress(sqlite3.Error):
                    self._database.stop(self._wall())
        except Exception:
            log.critical("ledger: its thread failed; nothing is recorded any more", exc_info=True)
            self._problem = "its thread failed"
            self._queue.close()
        finally:
            self._discard()
            self._lock.release()

    def _next_rows(self) -> list[Row]:
        """What to commit next; nothing when the ledger is closed and everything is."""
        while True:
            self._trim()
            behind = monotonic() >= self._next_trim
            rows = self._queue.take(_GROUP, 0.01 if behind else 1.0)
            if rows or self._queue.closed:
                return rows
            self._look()

    def _look(self) -> None:
        """While there is nothing to commit: whether the file is still ours. A brake must not wait for rows."""
        try:
            if self._database is not None:
                self._database.check()
                return
        except (sqlite3.Error, OSError) as error:
            self._trouble(error)
        try:
            self._open()
        except (sqlite3.Error, OSError, InputError) as error:
            self._trouble(error)
        else:
            self._tell_good()

    def _store(self, rows: list[Row]) -> bool:
        """Commit these rows, however often it takes; False when the time to close ran out."""
        delay = _SHORTEST_RETRY
        while True:
            try:
                self._commit(rows)
                return True
            except (sqlite3.Error, OSError, InputError) as error:
                self._trouble(error)
            if self._closing.wait(delay):
                if monotonic() >= self._deadline:
                    return False
                sleep(_SHORTEST_RETRY)
            delay = min(delay * 2, _LONGEST_RETRY)

    def _commit(self, rows: list[Row]) -> None:
        database = self._database or self._open()
        database.check()
        try:
            self._store_in(database, rows)
            stored = len(rows)
        except _UNSTORABLE:
            stored = sum(self._stored_alone(database, row) for row in rows)
        self._written += stored
        self._last_commit = self._wall()
        self._tell_good()
        self._queue.done(len(rows))

    def _tell_good(self) -> None:
        if self._problem is not None:
            self._problem = None
            log.warning("ledger: rows are committed again; %d waited", self._queue.waiting)

    def _stored_alone(self, database: Database, row: Row) -> bool:
        """Store one row; a row that cannot be stored must not keep the others out."""
        try:
            self._store_in(database, [row])
        except _UNSTORABLE as error:
            log.error("ledger: a %s row cannot be stored: %s", row.what, error)
            self._queue.refuse(row)
            return False
        return True

    def _store_in(self, database: Database, rows: list[Row]) -> None:
        database.store(rows, self._next_number, self._wall())
        self._next_number += len(rows)
        for row in rows:
            self._standing.note(row)

    def _open(self) -> Database:
        again = self._next_number > 0
        run = replace(self._run, last_number=self._next_number - 1) if again else self._run
        database = Database(self.path, run, goes_on=again)
        try:
            if again and database.began_run and (standing := self._standing.rows()):
                self._store_in(database, standing)
            if not again and (brake := database.brake()) is not None:
                self._brake = brake
                self._standing.note(brake)
            if self._censors and (censored := database.censor(self._wall())):
                log.warning(
                    "ledger: the outcomes of %d timeouts of earlier runs are censored", censored
                )
        except BaseException:
            database.close()
            raise
        self._database = database
        return database

    def _trim(self) -> None:
        """Delete a few rows that are too old; again soon if there were any."""
        if self._database is None or monotonic() < self._next_trim:
            return
        self._next_trim = monotonic() + _TRIM_EVERY
        try:
            deleted = self._database.trim_spent(self._spent(), _TRIM_ROWS)
            if self._keep is not None:
                deleted += self._database.trim(self._keep, self._wall(), _TRIM_ROWS)
            if deleted:
                self._next_trim = monotonic()
        except (sqlite3.Error, OSError) as error:
            self._trouble(error)

    # -- Trouble ----------------------------------------------------------------------------------

    def _trouble(self, error: Exception) -> None:
        """Get ready to try again, with another file if this one is no ledger any more."""
        if str(error) != self._problem:
            self._problem = str(error)
            log.critical("ledger: nothing can be committed, rows wait: %s", error)
        if isinstance(error, file.MovedError):
            self._replace(self._rescue())
        elif isinstance(error, file.TakenError):
            self._discard()
        elif isinstance(error, _OTHER_FILE) or _damaged(error):
            self._replace(None)
        else:
            self._discard()

    def _rescue(self) -> Path | None:
        """What was committed is still in the file that we have open: copy it."""
        assert self._database is not None
        real = self.path.resolve()
        copy = real.with_name(f"{real.name}.rescue")
        try:
            copy.unlink(missing_ok=True)
            self._database.copy(copy)
        except (sqlite3.Error, OSError) as error:
            log.critical("ledger: what was committed to the lost file is lost: %s", error)
            return None
        return copy

    def _replace(self, content: Path | None) -> None:
        """Move the file at the path aside, and put `content` in its place, if there is any.

        The file is moved while it is open: so SQLite, when it closes, writes nothing more to it.
        """
        try:
            if self._database is not None:
                self._database.abandon()
            aside = file.set_aside(self.path)
            if content is not None:
                content.rename(self.path.resolve())
        except OSError as error:
            log.critical("ledger: the file cannot be replaced: %s", error)
            return
        finally:
            self._discard()
        log.critical(
            "ledger: %s; %s is begun with %s",
            "the file was gone" if aside is None else f"what was in its place is kept as {aside}",
            self.path,
            "nothing in it but the brake, the flags and the open timeouts"
            if content is None
            else "all that was committed",
        )

    def _discard(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _damaged(error: Exception) -> bool:
    # The lowest byte is the error, the others say more about it.
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in _DAMAGED
