"""The reader of a fleet's store; what it is asked is in `shim.ledger.queries`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Any

import msgspec
import numpy as np
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from shim.gate.user_numbers import Integers
from shim.ledger.fleet_record import FleetOrder, FleetRecord, describe_fleet
from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import connect, keepable, store_errors
from shim.ledger.postgres.store_schema import read_facts
from shim.ledger.process_record import Forgetting, ProcessRecord, ProcessState
from shim.ledger.protocols import UnusableError
from shim.ledger.queries.snapshot import FoundColumns, Snapshot
from shim.ledger.queries.sql_reader import SqlReader
from shim.ledger.rows import Row, Wall
from shim.ledger.time_limit import time_left
from shim.model import Duration
from shim.model.ledger_url import LedgerUrl

_MOST_IDLE = 2
_MOST_OPEN = 8
"""Connections of one reader, those that a question uses included."""

LISTED_FOR: Duration = 24 * 3_600_000_000
"""For so long a process is listed that was heard of; as alive, if it did not say that it ends."""

_LONGEST_ANSWER = 60.0
"""Seconds; then the store is taken to be away."""

_AT_ONCE = 5_000
"""Rows of a table that are read at a time where all of them are read."""

_GRACE = 1.0
"""Seconds that the server has to end a question by itself, before the connection is cut."""

_TOO_LONG = "the ledger takes too long to answer this question"
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SESSION = (
    "SELECT set_config('idle_in_transaction_session_timeout', '10min', false), "
    "set_config('work_mem', '64MB', false), set_config('jit', 'off', false)"
)
"""Who reads millions of rows from one snapshot counts them in between. The server puts rows together in memory
rather than sort them on its disk, and compiles nothing for it."""


_FACTS = {
    "name": "process.name",
    "run": "run.id",
    "version": "run.version",
    "host": "process.host",
    "seen_at": "process.seen_at",
    "complete_until": "process.complete_until",
    "clock_offset": "process.clock_offset",
    "waiting": "process.waiting",
}
"""The fields of a process that the store has as they are."""


class PostgresReader(SqlReader):
    """`LedgerReader` on a fleet's store. A few connections stay open between answers; more questions at a
    time than there are connections wait for each other."""

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url
        self._lock = Lock()
        self._places = BoundedSemaphore(_MOST_OPEN)
        self._idle: list[psycopg.Connection[tuple[Any, ...]]] = []

    @property
    def place(self) -> str:
        return str(self._url)

    def newest_first(self, row: type[Row]) -> str:
        """Rows of several processes arrive in any order: their times say which are the last."""
        age = row.AGE or ("at" if "at" in row.columns() else "started_at")
        return f"{age} DESC, id DESC"

    @contextmanager
    def take_snapshot(self) -> Iterator[Snapshot]:
        with self._place(), store_errors(self._url):
            connection = self._begin()
            try:
                yield _PostgresSnapshot(connection)
                with at_most(_longest(), connection):
                    connection.execute("ROLLBACK")
            except BaseException as error:
                connection.close()
                if isinstance(error, psycopg.errors.QueryCanceled) and time_left() is not None:
                    raise UnusableError(_TOO_LONG) from None
                raise
            with self._lock:
                if len(self._idle) < _MOST_IDLE:
                    self._idle.append(connection)
                    return
            connection.close()

    def processes(self, now: Wall) -> list[ProcessRecord]:
        with self.snapshot() as snapshot:
            return _processes(snapshot, now)

    def fleet(self) -> FleetRecord:
        with self.snapshot() as snapshot:
            ((name, now),) = snapshot.ask(f"SELECT fleet, {NOW} FROM store")
            brake = next(iter(_orders(snapshot, 1)), None)
            return describe_fleet(name, now, brake, _processes(snapshot, now))

    def orders(self, limit: int) -> list[FleetOrder]:
        with self.snapshot() as snapshot:
            return _orders(snapshot, limit)

    def concluded_until(self) -> Wall | None:
        ((until,),) = self.ask("SELECT max(concluded_until) FROM store")
        return None if until is None else int(until)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of the connections that may be open."""
        if not self._places.acquire(timeout=max(0.0, _longest())):
            raise UnusableError("too many questions to the ledger at once")
        try:
            yield
        finally:
            self._places.release()

    def _begin(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection on which a snapshot has begun: one that was kept, if it still works."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                with at_most(_longest(), connection):
                    connection.execute(_BEGIN)
                return connection
            except psycopg.Error:
                connection.close()
                _check_time()
        connection = connect(self._url)
        try:
            with at_most(_longest(), connection):
                read_facts(connection, self.place)
                connection.execute(_SESSION)
                connection.execute(_BEGIN)
        except BaseException:
            connection.close()
            raise
        return connection


_NUMBERS = psycopg.postgres.types["int8"].array_oid
_ELEMENT = np.dtype([("size", ">i4"), ("value", ">i8")])


class _NumbersLoader(Loader):
    """An array of numbers of 64 bits, without nulls, as an array of numpy."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Integers:
        # Before them: how many dimensions, whether there are nulls, their type, the length, the first place.
        return np.frombuffer(data, _ELEMENT, offset=20)["value"].astype(np.int64)


class _PostgresSnapshot(Snapshot):
    USER = 'hashtextextended("user", 0)'

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._ask(statement, values)

    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        # The answer to a question is here as a whole before its first row is read.
        with self._in_time():
            self._connection.execute(f"DECLARE stream CURSOR FOR {statement}".encode())
        while rows := self._ask(f"FETCH {_AT_ONCE} FROM stream", ()):
            yield from rows
        with self._in_time():
            self._connection.execute("CLOSE stream")

    def columns(
        self, few: Sequence[str], numbers: Sequence[str], found: str, *values: Any
    ) -> FoundColumns:
        # Two numbers a row take a fraction of the time of its words.
        names = [*few, *numbers]
        places = [f"c{place}" for place in range(len(names))]
        by, arrays = ", ".join(places[: len(few)]), map("array_agg({})".format, places[len(few) :])
        statement = (
            f"SELECT {by}, {', '.join(arrays)} FROM (SELECT {', '.join(names)} {found}) "
            f"AS found ({', '.join(places)}) GROUP BY {by} ORDER BY {by}"
        )
        groups = self._ask(statement, values, binary=True)
        columns = [*zip(*(group[len(few) :] for group in groups), strict=True)]
        lengths = [len(group[-1]) for group in groups]
        return FoundColumns(
            table=[group[: len(few)] for group in groups],
            places=np.repeat(np.arange(len(groups)), lengths),
            numbers=[np.concatenate(column) for column in columns]
            or [np.empty(0, np.int64) for _ in numbers],
        )

    def _ask(
        self, statement: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        asked = statement.replace("?", "%s").encode()
        with self._in_time():
            cursor = self._connection.cursor(binary=binary)
            if binary:
                cursor.adapters.register_loader(_NUMBERS, _NumbersLoader)
            return cursor.execute(asked, keepable(values)).fetchall()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """What is asked here ends with the time that is left. Raises UnusableError if there is none."""
        left, connection = _check_time(), self._connection
        with at_most(_longest(), connection):
            if left is not None:
                # A cut connection would not end the question in the server.
                connection.execute(f"SET LOCAL statement_timeout = {int(left * 1000) + 1}".encode())
            yield


def _check_time() -> float | None:
    """Seconds that are left; None: any number. Raises UnusableError if the time is over."""
    left = time_left()
    if left is not None and left <= 0:
        raise UnusableError(_TOO_LONG)
    return left


def _longest() -> float:
    """Seconds until the connection is cut."""
    left = time_left()
    return _LONGEST_ANSWER if left is None else min(max(0.0, left) + _GRACE, _LONGEST_ANSWER)


def _orders(snapshot: Snapshot, limit: int) -> list[FleetOrder]:
    found = snapshot.ask(
        "SELECT engaged, reason, process, at FROM brake_order ORDER BY id DESC LIMIT ?", limit
    )
    return [
        FleetOrder(engaged=engaged, reason=reason, process=process, at=at)
        for engaged, reason, process, at in found
    ]


def _processes(snapshot: Snapshot, now: Wall) -> list[ProcessRecord]:
    listed = snapshot.ask(
        f"SELECT {', '.join(_FACTS.values())}, ended, state, "
        # Whoever has come back since is not forgotten.
        "CASE WHEN ended AND process.seen_at <= forgotten_at THEN forgotten_at END, "
        "forgotten_by, forgotten_reason FROM process JOIN run ON run.id = process.run "
        "WHERE greatest(process.seen_at, forgotten_at) > ? ORDER BY process.name, run.id",
        now - LISTED_FOR,
    )
    return [
        ProcessRecord(
            **dict(zip(_FACTS, facts, strict=True)),
            alive=not ended,
            **_read_state(state),
            forgotten=None if at is None else Forgetting(at=at, who=who, reason=reason),
        )
        for *facts, ended, state, at, who, reason in listed
    ]


def _read_state(text: str | None) -> dict[str, Any]:
    """What a process said of itself; nothing, if that is the state of another version."""
    if text is None:
        return {}
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=ProcessState))
    except msgspec.MsgspecError:
        return {}
