"""The reader of a fleet's store; what it is asked is in `shim.ledger.queries`."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import msgspec
import psycopg

from shim.ledger.columns import without_nul
from shim.ledger.fleet_record import FleetOrder, FleetRecord, describe_fleet
from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import at_most, connect, store_errors
from shim.ledger.postgres.store_schema import read_facts
from shim.ledger.process_record import ProcessRecord, ProcessState
from shim.ledger.queries.snapshot import Snapshot
from shim.ledger.queries.sql_reader import SqlReader
from shim.ledger.rows import Row, Wall, storable
from shim.model import Duration
from shim.settings import LedgerUrl

_MOST_IDLE = 2
LISTED_FOR: Duration = 24 * 3_600_000_000
"""For so long a process is listed that was heard of; as alive, if it did not say that it ends."""

_LONGEST_ANSWER = 60.0
"""Seconds; then the store is taken to be away."""

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresReader(SqlReader):
    """`LedgerReader` on a fleet's store. A few connections stay open between answers."""

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url
        self._lock = Lock()
        self._idle: list[psycopg.Connection[tuple[Any, ...]]] = []

    @property
    def place(self) -> str:
        return str(self._url)

    def newest_first(self, row: type[Row]) -> str:
        """Rows of several processes arrive in any order: their times say which are the last."""
        age = row.AGE or ("at" if "at" in row.columns() else "started_at")
        return f"{age} DESC, id DESC"

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with store_errors(self._url):
            connection = self._begin()
            try:
                with at_most(_LONGEST_ANSWER, connection):
                    yield _PostgresSnapshot(connection)
                    connection.execute("ROLLBACK")
            except BaseException:
                connection.close()
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
            orders = snapshot.ask(
                "SELECT engaged, reason, process, at FROM brake_order ORDER BY id DESC LIMIT 1"
            )
            brake = None
            for engaged, reason, process, at in orders:
                brake = FleetOrder(engaged=engaged, reason=reason, process=process, at=at)
            return describe_fleet(name, now, brake, _processes(snapshot, now))

    def concluded_until(self) -> Wall | None:
        ((until,),) = self.ask("SELECT max(concluded_until) FROM store")
        return None if until is None else int(until)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _begin(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection on which a snapshot has begun: one that was kept, if it still works."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:
                with at_most(_LONGEST_ANSWER, connection):
                    connection.execute(_BEGIN)
                return connection
            except psycopg.Error:
                connection.close()
        connection = connect(self._url)
        try:
            read_facts(connection, self.place)
            connection.execute(_BEGIN)
        except BaseException:
            connection.close()
            raise
        return connection


class _PostgresSnapshot(Snapshot):
    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        asked = statement.replace("?", "%s").encode()
        return self._connection.execute(asked, without_nul(storable(values))).fetchall()


def _processes(snapshot: Snapshot, now: Wall) -> list[ProcessRecord]:
    listed = snapshot.ask(
        "SELECT process.name, run.id, run.version, process.host, process.ended, process.seen_at, "
        "process.complete_until, process.clock_offset, process.waiting, process.state "
        "FROM process JOIN run ON run.id = process.run WHERE process.seen_at > ? "
        "ORDER BY process.name, run.id",
        now - LISTED_FOR,
    )
    return [
        ProcessRecord(
            name=name,
            run=run,
            version=version,
            host=host,
            alive=not ended,
            seen_at=seen_at,
            complete_until=complete_until,
            clock_offset=clock_offset,
            waiting=waiting,
            **_read_state(state),
        )
        for name, run, version, host, ended, seen_at, complete_until, clock_offset, waiting, state in listed
    ]


def _read_state(text: str | None) -> dict[str, Any]:
    """What a process said of itself; nothing, if that is the state of another version."""
    if text is None:
        return {}
    try:
        return msgspec.structs.asdict(msgspec.json.decode(text, type=ProcessState))
    except msgspec.MsgspecError:
        return {}
