"""The list of a fleet's processes, kept in the store: their names, when they were heard of, how far their
records go.

Rules: docs/design.md#r23, docs/design.md#r24, docs/design.md#r27.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import json
from psycopg import Connection

from shim.ledger.process_record import ProcessState
from shim.ledger.protocols import UnusableError
from shim.ledger.rows import Wall
from shim.model import Duration

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The store's time, in microseconds since 1970."""

NAME_HELD_FOR: Duration = 5_000_000
"""A name is in use as long as its process was heard of within so long."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process as it calls itself, and the machine that it runs on."""

    name: str
    host: str


class Sign(NamedTuple):
    """What a process says of itself: `complete_until` by the store's clock, `waiting` rows not shipped
    yet; `state` None: nothing new."""

    complete_until: Wall | None
    clock_offset: Duration | None
    waiting: int
    ended: bool = False
    state: ProcessState | None = None


def read_clock(connection: Connection[Any]) -> Wall:
    """The store's time."""
    found = connection.execute(f"SELECT {NOW}".encode()).fetchone()
    assert found is not None
    return int(found[0])


def enter(
    connection: Connection[Any],
    process: ProcessName,
    run: int,
    own_runs: Collection[str],
    place: str,
    *,
    lived_since: Wall | None = None,
) -> None:
    """Put a run on the list, under the name of its process.

    `own_runs` are the runs (`uuid`) of the same outbox: the process before this one, which has ended.
    `lived_since`: from then on it has to tell of clients that came back to it (R24; None: nobody asks it).
    Raises UnusableError if another process uses the name.
    """
    with connection.transaction():
        # Two processes of one name that start at once: one after the other.
        connection.execute("LOCK TABLE process IN SHARE ROW EXCLUSIVE MODE")
        other = connection.execute(
            "SELECT process.host, run.pid FROM process JOIN run ON run.id = process.run "
            "WHERE process.name = %s AND NOT process.ended AND process.run <> %s "
            f"AND process.seen_at > {NOW} - {NAME_HELD_FOR} AND NOT run.uuid = ANY(%s)".encode(),
            (process.name, run, list(own_runs)),
        ).fetchone()
        if other is not None:
            host, pid = other
            raise UnusableError(
                f"{place}: another process is called {process.name!r} (on {host}, number {pid}): give "
                "each process a name of its own (the key `process`), or no name"
            )
        connection.execute(
            "INSERT INTO process (run, name, host, seen_at, waiting, ended, told_until) "
            f"VALUES (%s, %s, %s, {NOW}, 0, false, %s) "
            "ON CONFLICT (run) DO UPDATE SET name = excluded.name, host = excluded.host".encode(),
            (run, process.name, process.host, lived_since),
        )


def give_sign(connection: Connection[Any], run: int, sign: Sign) -> None:
    """The process of this run was alive just now, unless it has ended before. What is already known to be
    complete stays so."""
    with connection.transaction():
        # The list may forget the last second after a crash of the store: no disk has to wait for it.
        connection.execute("SET LOCAL synchronous_commit = off")
        connection.execute(
            f"UPDATE process SET seen_at = CASE WHEN ended AND %s THEN seen_at ELSE {NOW} END, "
            "complete_until = greatest(complete_until, %s::bigint), "
            "clock_offset = coalesce(%s, clock_offset), waiting = %s, ended = %s, "
            "state = coalesce(%s, state) WHERE run = %s".encode(),
            (
                sign.ended,
                sign.complete_until,
                sign.clock_offset,
                sign.waiting,
                sign.ended,
                None if sign.state is None else json.encode(sign.state).decode(),
                run,
            ),
        )


def known_offset(connection: Connection[Any], uuid: str) -> Duration | None:
    """The clock offset that was measured while a run was alive."""
    found = connection.execute(
        "SELECT clock_offset FROM process JOIN run ON run.id = process.run WHERE run.uuid = %s",
        (uuid,),
    ).fetchone()
    return found[0] if found else None


def read_ended(connection: Connection[Any], uuids: Collection[str]) -> dict[str, int]:
    """Those of these runs that are known to have ended, and the number of the last row of each."""
    found = connection.execute(
        "SELECT run.uuid, run.last_number FROM process JOIN run ON run.id = process.run "
        "WHERE process.ended AND run.uuid = ANY(%s)",
        (list(uuids),),
    )
    return dict(found.fetchall())
