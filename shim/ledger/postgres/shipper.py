"""The thread that ships a process's outbox to the fleet's store, and says in the store that the process is
alive.

Nothing waits for it. While the store does not answer, the outbox grows; each change from good to bad and back
is one line in the log.

Rules: docs/design.md#r23.
"""

import logging
import random
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import Any

import psycopg

from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.process_list import (
    ProcessName,
    Sign,
    enter,
    give_sign,
    known_offset,
    read_clock,
    read_ended,
)
from shim.ledger.postgres.shipment import StoredRun, note_run, ship_group
from shim.ledger.postgres.store_clock import StoreClock
from shim.ledger.postgres.store_connection import (
    UnreachableError,
    connected,
    end_left_behind,
)
from shim.ledger.postgres.store_schema import prepare
from shim.ledger.process_record import FleetPlace, StoreStatus
from shim.ledger.rows import ROWS, RunRow, Wall
from shim.ledger.sqlite.outbox import Outbox
from shim.model import Duration, InputError
from shim.model.ledger_url import LedgerUrl

log = logging.getLogger(__name__)

_PAUSE = 0.2
_SIGN_EVERY = 0.4
_TRIM_EVERY = 60.0
_SHORTEST_RETRY, _LONGEST_RETRY = 0.1, 5.0
_LONGEST_STEP = 30.0
_SETTLE = 1.0
"""Seconds, all of them."""

_NOTE_EVERY = 3600.0
SHIPPED_KEPT_FOR = 25
"""Notes of what is in the store, one each hour: the outbox keeps it for a day, for the process's brake."""

_TRIM_LOCK = 0x5348494E
"""The advisory lock of whoever deletes old rows of the store: one process at a time."""

_TRIM_ROWS = 1000
"""Rows of a table that are deleted at once."""


class Shipper:
    """Ships every run of an outbox, its own run as long as that lasts."""

    def __init__(
        self,
        url: LedgerUrl,
        run: RunRow,
        process: ProcessName,
        place: FleetPlace,
        *,
        keep: Duration | None,
        wall: Callable[[], Wall],
        settle: Callable[[float], bool],
    ) -> None:
        """`settle` waits until all rows handed over before are in the outbox (`LedgerWriter.flush`)."""
        self._url = url
        self._outbox = Outbox(place.outbox)
        self._run = run
        self._process = process
        self._fleet = place.fleet
        self._keep = keep
        self._wall = wall
        self._settle = settle
        self._state = place.state
        self._answered = Event()
        self._refusal: InputError | None = None
        self._problem: str | None = "the store has not answered yet"
        self._stored: dict[str, StoredRun] = {}
        self._complete_until: Wall | None = None
        self._clock = StoreClock(wall)
        self._handed_over_until = place.handed_over_until or wall
        self._waiting = 0
        self._notes: deque[Mapping[str, int]] = deque(maxlen=SHIPPED_KEPT_FOR)
        self._next_note = 0.0
        self._next_sign = self._next_trim = 0.0
        self._stopping = Event()
        self._give_up_at = inf
        self._thread = Thread(target=self._work, name="shim-shipper", daemon=True)

    # -- The caller's side ------------------------------------------------------------------------

    def start(self, timeout: float) -> None:
        """Begin, and wait for the first answer of the store, at most `timeout` seconds.

        Raises InputError if the store refuses within that time. If the store does not answer, rows wait.
        """
        self._thread.start()
        if self._answered.wait(timeout) and self._refusal is not None:
            self.stop(0.0)
            raise self._refusal

    def stop(self, timeout: float) -> bool:
        """Ship the rest of the outbox, which nobody writes to any more, within so many seconds.

        False if rows are left: they are shipped when the outbox is used again.
        """
        self._give_up_at = monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and self._waiting == 0

    def status(self) -> StoreStatus:
        return StoreStatus(self._problem, self._waiting, self._complete_until, self._clock.offset)

    @property
    def _offset(self) -> Duration:
        return self._clock.offset or 0

    def shipped(self) -> dict[str, int]:
        """The number of the last row of each run (`uuid`) that is in the store."""
        return {uuid: stored.last_number for uuid, stored in [*self._stored.items()]}

    def spent(self) -> Mapping[str, int]:
        """What has been in the store for a while, and is not needed in the outbox any more."""
        if monotonic() >= self._next_note:
            self._next_note = monotonic() + _NOTE_EVERY
            self._notes.append(self.shipped())
        return self._notes[0] if len(self._notes) == self._notes.maxlen else {}

    # -- The thread -------------------------------------------------------------------------------

    def _work(self) -> None:
        delay = _SHORTEST_RETRY
        while True:
            try:
                with connected(self._url) as connection:
                    self._begin(connection)
                    delay = _SHORTEST_RETRY
                    while self._round(connection):
                        pass
                return
            except InputError as error:
                self._trouble(error)
            except sqlite3.Error as error:
                self._trouble(UnreachableError(f"the outbox cannot be read: {error}"))
            except Exception:
                log.critical("ledger: shipping failed; it begins anew", exc_info=True)
                self._problem = "shipping failed"
            self._answered.set()
            if self._stopping.wait(delay * random.uniform(0.5, 1)):
                return
            delay = min(delay * 2, _LONGEST_RETRY)

    def _trouble(self, error: InputError) -> None:
        if not self._answered.is_set() and not isinstance(error, UnreachableError):
            self._refusal = error
        with suppress(InputError):
            self._count_waiting(self._outbox.runs())
        if str(error) != self._problem:
            self._problem = str(error)
            log.error("ledger: nothing is shipped, rows wait in %s: %s", self._outbox.place, error)

    def _begin(self, connection: "psycopg.Connection[Any]") -> None:
        """Prepare the store, enter this process in the list, and ship what earlier processes left."""
        place = str(self._url)
        with at_most(_LONGEST_STEP, connection):
            prepare(connection, self._fleet, place)
            end_left_behind(connection)
            self._clock.measure(connection)
            runs = self._outbox.runs()
            own = note_run(connection, self._mine(runs), self._offset)
            uuids = [run.uuid for run in runs]
            self._enter(connection, own, self._run, uuids)
            ended = read_ended(connection, uuids)
        # What this process knew of the store counts no more: it may have been restored from a backup.
        self._stored = {**ended, self._run.uuid: own}
        self._problem = None
        self._answered.set()
        log.info("ledger: the process %s ships to %s", self._process.name, place)
        for run in runs:
            known = self._stored.get(run.uuid)
            whole = known is not None and known.last_number >= run.last_number
            if run.uuid != self._run.uuid and not whole:
                self._ship_earlier(connection, run, uuids)

    def _ship_earlier(
        self, connection: "psycopg.Connection[Any]", run: RunRow, uuids: list[str]
    ) -> None:
        """Ship what is left of a run whose process has ended; the offset is that of its own clock."""
        with at_most(_LONGEST_STEP, connection):
            offset = known_offset(connection, run.uuid)
        offset = self._offset if offset is None else offset
        if not self._ship(connection, run, offset):
            return
        with at_most(_LONGEST_STEP, connection):
            stored = note_run(connection, run, offset)
            self._enter(connection, stored, run, uuids)
            ended = run.stopped_at or run.seen_at or run.started_at
            give_sign(connection, stored.id, Sign(ended + offset, offset, 0, ended=True))

    def _enter(
        self,
        connection: "psycopg.Connection[Any]",
        stored: StoredRun,
        run: RunRow,
        uuids: list[str],
    ) -> None:
        since = run.started_at + self._offset
        place = str(self._url)
        enter(connection, self._process, stored.id, uuids, place, lived_since=since)

    def _round(self, connection: "psycopg.Connection[Any]") -> bool:
        """Ship what there is; False when this was the last time."""
        last = self._stopping.is_set()
        before = self._wall() if last else self._handed_over_until()
        settled = last or self._settle(_SETTLE)
        runs = self._outbox.runs()
        run = self._mine(runs)
        with at_most(_LONGEST_STEP, connection):
            self._clock.measure(connection)
        offset = self._offset
        if self._ship(connection, run, offset) and settled and before is not None:
            self._complete_until = before + offset
        self._count_waiting(runs)
        with at_most(_LONGEST_STEP, connection):
            if last:
                note_run(connection, run, offset)
            self._give_sign(connection, ended=last)
            self._trim(connection)
        self._stopping.wait(_PAUSE)
        return not last

    def _ship(self, connection: "psycopg.Connection[Any]", run: RunRow, offset: Duration) -> bool:
        """Ship the rows of a run up to its last one; False if the time to stop has come."""
        known = self._stored.get(run.uuid)
        if known is not None and known.last_number >= run.last_number:
            # To lock the run's row for nothing would cost the store a commit.
            return True
        while monotonic() < self._give_up_at:
            with at_most(_LONGEST_STEP, connection):
                stored = self._stored[run.uuid] = ship_group(connection, self._outbox, run, offset)
                if stored.last_number >= run.last_number:
                    return True
                self._give_sign(connection)
        return False

    def _give_sign(self, connection: "psycopg.Connection[Any]", *, ended: bool = False) -> None:
        if ended or monotonic() >= self._next_sign:
            self._next_sign = monotonic() + _SIGN_EVERY
            state = None if self._state is None else self._state()
            sign = Sign(
                complete_until=self._complete_until,
                clock_offset=self._clock.offset,
                waiting=self._waiting,
                ended=ended,
                state=state,
            )
            give_sign(connection, self._stored[self._run.uuid].id, sign)

    def _count_waiting(self, runs: Iterable[RunRow]) -> None:
        shipped = self.shipped()
        self._waiting = sum(max(0, run.last_number - shipped.get(run.uuid, 0)) for run in runs)

    def _mine(self, runs: list[RunRow]) -> RunRow:
        for run in runs:
            if run.uuid == self._run.uuid:
                return run
        raise UnreachableError(f"{self._outbox.place} has been replaced: this run is not in it yet")

    def _trim(self, connection: "psycopg.Connection[Any]") -> None:
        if self._keep is not None and monotonic() >= self._next_trim:
            more = _trim_store(connection, read_clock(connection) - self._keep)
            self._next_trim = monotonic() + (0.0 if more else _TRIM_EVERY)


def _trim_store(connection: "psycopg.Connection[Any]", before: Wall) -> int:
    """Delete at most `_TRIM_ROWS` older rows of each table; how many were deleted (0 if another process does
    it)."""
    deleted = 0
    with connection.transaction():
        (mine,) = connection.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", (_TRIM_LOCK,)
        ).fetchone() or (0,)
        if not mine:
            return 0
        for row in ROWS:
            if row.AGE is not None:
                deleted += connection.execute(
                    f"DELETE FROM {row.TABLE} WHERE id IN (SELECT id FROM {row.TABLE} "
                    f"WHERE {row.AGE} < %s ORDER BY {row.AGE} LIMIT {_TRIM_ROWS})".encode(),
                    (before,),
                ).rowcount
    return deleted
