"""Brings the rows of an outbox into the store: in order, in groups, each row exactly once (R23).

A group is one transaction, which also moves the run's `last_number` in the store. So whatever fails, and
whenever: what is in the store and what the store says about it are the same, and the next group begins after
it. The lock of the run's row keeps two shippers of one run apart.

Rules: docs/design.md#r23, docs/design.md#r24.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import Connection

from shim.ledger.columns import columns_of
from shim.ledger.postgres.store_connection import keepable, unnest
from shim.ledger.queries.snapshot import quoted
from shim.ledger.rows import ActionRow, Row, RunRow
from shim.ledger.sqlite.outbox import Outbox
from shim.model import Duration

log = logging.getLogger(__name__)

GROUP = 5_000
"""Rows of one transaction."""

_PUBLISHING = 0x53484951
"""The advisory lock of whoever brings actions: one process at a time, from there to the commit."""

_TYPES = {bool: "boolean", int: "bigint", str: "text"}
_LARGEST = (1 << 63) - 1


class StoredRun(NamedTuple):
    """A run in the store: its id there, and the number of its last row that is there."""

    id: int
    last_number: int


def ship_group(
    connection: Connection[Any], outbox: Outbox, run: RunRow, offset: Duration, most: int = GROUP
) -> StoredRun:
    """Bring the next rows of a run into the store; the run there.

    `offset` is the store's clock minus that of the run. Raises psycopg.Error, or UnusableError for the
    outbox; then nothing was changed, or all of it was: the next call finds out.
    """
    with connection.transaction():
        stored = _lock(connection, run, offset)
        parcel = outbox.parcel(run, stored.last_number, most, offset)
        if parcel.last <= stored.last_number:
            return stored
        tables = dict(parcel.tables)
        actions = tables.pop(ActionRow, None)
        for row, rows in tables.items():
            _insert(connection, row, stored.id, rows)
        if actions:
            # Their ids are in the order of the commits: who has read up to one has missed none (R24).
            # A process that freezes here must not hold up the others.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PUBLISHING,))
            _insert(connection, ActionRow, stored.id, actions)
        _note(connection, run, offset, stored.id, parcel.last)
    return StoredRun(stored.id, parcel.last)


def note_run(connection: Connection[Any], run: RunRow, offset: Duration) -> StoredRun:
    """Tell the store what the outbox says of a run, its end above all."""
    with connection.transaction():
        stored = _lock(connection, run, offset)
        _note(connection, run, offset, stored.id, stored.last_number)
    return stored


def _lock(connection: Connection[Any], run: RunRow, offset: Duration) -> StoredRun:
    """The run in the store, which is begun there if need be; nobody else ships of it until the transaction
    ends."""
    asked = "SELECT id, last_number FROM run WHERE uuid = %s FOR UPDATE"
    found = connection.execute(asked, (run.uuid,)).fetchone()
    if found is None:
        facts = {**_facts(run, offset), "last_number": 0}
        names = ", ".join(map(quoted, facts))
        connection.execute(
            f"INSERT INTO run ({names}) VALUES ({', '.join(['%s'] * len(facts))}) "
            "ON CONFLICT (uuid) DO NOTHING".encode(),
            [*facts.values()],
        )
        found = connection.execute(asked, (run.uuid,)).fetchone()
    assert found is not None
    return StoredRun(*found)


def _note(connection: Connection[Any], run: RunRow, offset: Duration, id: int, last: int) -> None:
    facts = {**_facts(run, offset), "last_number": last}
    del facts["uuid"]
    changes = ", ".join(f"{quoted(name)} = %s" for name in facts)
    connection.execute(f"UPDATE run SET {changes} WHERE id = %s".encode(), [*facts.values(), id])


def _facts(run: RunRow, offset: Duration) -> dict[str, Any]:
    """A run's row by the store's clock."""
    values = keepable(run.values())
    return {
        column.name: value + offset if column.moments and value is not None else value
        for column, value in zip(columns_of(RunRow), values, strict=True)
    }


def _insert(
    connection: Connection[Any], row: type[Row], run: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    try:
        # A savepoint: after an error the rows are tried once more, as the store can take them.
        with connection.transaction():
            _insert_rows(connection, row, run, rows)
    except (psycopg.DataError, OverflowError):
        log.warning("ledger: %s rows have values that PostgreSQL cannot keep: changed", row.TABLE)
        _insert_rows(connection, row, run, [_storable(row, values) for values in rows])


def _insert_rows(
    connection: Connection[Any], row: type[Row], run: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    names = ", ".join(["run", "number", *map(quoted, row.columns())])
    with connection.cursor() as cursor:
        if row is ActionRow:
            columns = zip(*(_typed(row, values) for values in rows), strict=True)
            cursor.execute(_UPSERT, (run, *map(list, columns)))
            return
        with cursor.copy(f"COPY {row.TABLE} ({names}) FROM STDIN".encode()) as copy:
            for values in rows:
                copy.write_row((run, *values))


def _upsert() -> bytes:
    """An outcome settles the action that was shipped when the timeout was acted on; there are few of them."""
    names = ["number", *ActionRow.columns()]
    changes = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in names)
    types = ("bigint", *(_TYPES[column.kind] for column in columns_of(ActionRow)))
    return (
        f"INSERT INTO action (run, {', '.join(map(quoted, names))}) "
        f"SELECT %s::bigint, * FROM {unnest(*types)} "
        # What the fleet has concluded stands (R24).
        f"ON CONFLICT (run, connection) DO UPDATE SET {changes} WHERE action.result IS NULL"
    ).encode()


_UPSERT = _upsert()


def _typed(row: type[Row], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of SQLite, whose truths are numbers, as a parameter has to be."""
    kinds = (int, *(column.kind for column in columns_of(row)))
    return tuple(
        bool(value) if kind is bool and value is not None else value
        for kind, value in zip(kinds, values, strict=True)
    )


def _storable(row: type[Row], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as PostgreSQL can keep them: no character 0, and numbers of 64 bits."""
    kinds = (int, *(column.kind for column in columns_of(row)))
    return tuple(
        max(-_LARGEST - 1, min(int(value), _LARGEST))
        if kind is int and value is not None
        else value
        for kind, value in zip(kinds, keepable(values), strict=True)
    )
