"""What the tests of the store share: shipping by hand, and a look at what is in the store."""

from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from shim.ledger.postgres.shipment import note_run, ship_group
from shim.ledger.postgres.store_connection import connect
from shim.ledger.rows import ROWS
from shim.ledger.sqlite.outbox import Outbox
from shim.settings import LedgerUrl

FLEET = "tests"


def ship_all(path: Path, store: LedgerUrl, *, offset: int = 0, most: int = 7) -> None:
    """Ship every run of a SQLite ledger, in groups of `most` rows."""
    outbox = Outbox(path)
    with closing(connect(store)) as connection:
        for run in outbox.runs():
            while ship_group(connection, outbox, run, offset, most).last_number < run.last_number:
                pass
            note_run(connection, run, offset)


def look(store: LedgerUrl, statement: str) -> list[tuple[Any, ...]]:
    """What a stranger's PostgreSQL client finds."""
    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path = shim")
        return connection.execute(statement.encode()).fetchall()


def change(store: LedgerUrl, statement: str) -> None:
    """What a stranger's PostgreSQL client does to a store."""
    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path = shim")
        connection.execute(statement.encode())


def empty(store: LedgerUrl) -> None:
    """Delete all rows, and count from 1 again."""
    tables = ", ".join(row.TABLE for row in ROWS)
    change(store, f"TRUNCATE {tables}, process RESTART IDENTITY")
