"""The list of a fleet's processes, kept in the store: their names, when they were heard of, how far their
records go.

Rules: docs/design.md#r23, docs/design.md#r24, docs/design.md#r27.
"""

import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import json
from psycopg import Connection

from shim.ledger.postgres.shipment import StoredRun
from shim.ledger.postgres.store_connection import keepable
from shim.ledger.process_record import ProcessState
from shim.ledger.protocols import UnusableError
from shim.ledger.rows import Wall
from shim.model import Duration, InputError, seconds

NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The store's time, in microseconds since 1970."""

NAME_HELD_FOR: Duration = 5_000_000
"""A name is in use as long as its process was heard of within so long."""

FORGETTABLE_AFTER: Duration = 60_000_000
"""A process that was heard of within so long is alive, and nobody may forget it."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process as it calls itself, and the machine that it runs on."""

    name: str
    host: str


def name_process(name: str) -> ProcessName:
    """A process of this machine. The environment and a file's name may have bytes that are no text."""
    return ProcessName(*keepable([name, socket.gethostname()]))


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

    `own_runs` are the runs (`uuid`) of the same outbox: the process before this one, which has ended. An
    earlier run of the name with another outbox is forgotten: no two processes have one name.
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
            f"UPDATE process SET {_FORGOTTEN} FROM run WHERE run.id = process.run AND process.name = %s "
            "AND NOT process.ended AND process.run <> %s AND NOT run.uuid = ANY(%s)".encode(),
            (process.name, "its name is in use again", process.name, run, list(own_runs)),
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


def forget_process(
    connection: Connection[Any], name: str, *, who: str, reason: str, place: str
) -> Wall | None:
    """The record of a process counts as ended where it ends now; that time, if there is one.

    Raises InputError for a process that is alive, or has ended, or is not on the list.
    """
    found = connection.execute(
        f"UPDATE process SET {_FORGOTTEN} WHERE name = %s AND NOT (ended AND waiting = 0) "
        f"AND seen_at <= {NOW} - {FORGETTABLE_AFTER} RETURNING complete_until".encode(),
        keepable([who, reason, name]),
    ).fetchall()
    if not found:
        raise InputError(f"{place}: {_why_not(connection, name)}")
    return min((until for (until,) in found if until is not None), default=None)


_FORGOTTEN = (
    f"ended = true, waiting = 0, forgotten_at = {NOW}, forgotten_by = %s, forgotten_reason = %s"
)


def _why_not(connection: Connection[Any], name: str) -> str:
    """Why a process cannot be forgotten."""
    found = connection.execute(
        f"SELECT ended AND waiting = 0, {NOW} - seen_at FROM process WHERE name = %s "
        "ORDER BY seen_at DESC LIMIT 1".encode(),
        keepable([name]),
    ).fetchone()
    if found is None:
        return f"no process is called {name!r}; `shim status --ledger …` lists the processes"
    ended, silence = found
    if ended:
        return f"the process {name!r} has ended, and nobody waits for more of its record"
    return (
        f"the process {name!r} was heard of {seconds(silence):.0f} s ago, so it is alive; after a silence of "
        f"{seconds(FORGETTABLE_AFTER):.0f} s it can be forgotten"
    )


def known_offset(connection: Connection[Any], uuid: str) -> Duration | None:
    """The clock offset that was measured while a run was alive."""
    found = connection.execute(
        "SELECT clock_offset FROM process JOIN run ON run.id = process.run WHERE run.uuid = %s",
        (uuid,),
    ).fetchone()
    return found[0] if found else None


def read_ended(connection: Connection[Any], uuids: Collection[str]) -> dict[str, StoredRun]:
    """Those of these runs that are known to have ended, as they are in the store."""
    found = connection.execute(
        "SELECT run.uuid, run.id, run.last_number FROM process JOIN run ON run.id = process.run "
        "WHERE process.ended AND run.uuid = ANY(%s)",
        (list(uuids),),
    )
    return {uuid: StoredRun(id, last_number) for uuid, id, last_number in found}
