"""The orders to the fleet's brake, in the store: the last order says whether the brake is engaged (R25).

An order that a process gave while it could not reach the store comes after those that were given meanwhile. So
an engaged brake is released only by somebody who could know of it.

Rules: docs/design.md#r22, docs/design.md#r25.
"""

from typing import Any, NamedTuple

from psycopg import Connection

from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import keepable
from shim.ledger.rows import Wall

CHANNEL = "shim_brake"
"""Whoever listens hears of each order."""

_LOCK = 0x5348494F
"""The advisory lock of whoever gives an order: orders become known in the order of their numbers."""


class StoredOrder(NamedTuple):
    """An order to the brake; `at` by the store's clock, `process` gave it."""

    id: int
    engaged: bool
    reason: str
    process: str
    at: Wall


def last_order(connection: Connection[Any]) -> StoredOrder | None:
    """The order in force; None: there never was one."""
    found = connection.execute(
        "SELECT id, engaged, reason, process, at FROM brake_order ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return StoredOrder(*found) if found else None


def has_order(connection: Connection[Any], id: int, at: Wall) -> bool:
    """Whether the store has this order; not if it was restored from an older backup."""
    found = connection.execute("SELECT 1 FROM brake_order WHERE id = %s AND at = %s", (id, at))
    return found.fetchone() is not None


def give_order(
    connection: Connection[Any],
    *,
    engaged: bool,
    reason: str,
    process: str,
    origin: str | None = None,
    knowing: int | None = None,
) -> StoredOrder:
    """Give an order, and tell everybody who listens; the order in force afterwards.

    An order that is in force already is not given again, and of orders of one `origin` only the first counts.
    A release is given only by somebody who knows of the engagement in force (its number is `knowing`).
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        last = last_order(connection)
        if last is not None and (last.engaged == engaged or not (engaged or last.id == knowing)):
            return last
        connection.execute(
            "INSERT INTO brake_order (engaged, reason, process, origin, at) "
            f"VALUES (%s, %s, %s, %s, {NOW}) ON CONFLICT (origin) DO NOTHING".encode(),
            [engaged, *keepable([reason, process, origin])],
        )
        connection.execute(f"NOTIFY {CHANNEL}".encode())
        order = last_order(connection)
    assert order is not None
    return order
