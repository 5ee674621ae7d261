"""The versions of the flags in the store: the last one is in force (R26).

Rules: docs/design.md#r26.
"""

from hashlib import sha256
from typing import Any

from psycopg import Connection

from shim.ledger.flags_version import FlagsInForce, FlagsVersion, PushedFlags
from shim.ledger.postgres.brake_orders import CHANNEL, last_order
from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import keepable
from shim.ledger.rows import Wall

_LOCK = 0x53484950
"""The advisory lock of whoever brings a version: they come one after the other."""

_COLUMNS = "id, text, digest, before, who, reason, at"
_NAMES = _COLUMNS.split(", ")


def versions(connection: Connection[Any], limit: int) -> list[FlagsVersion]:
    """The newest versions, newest first."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM flags_version ORDER BY id DESC LIMIT %s".encode(), (limit,)
    )
    return [FlagsVersion(**dict(zip(_NAMES, row, strict=True))) for row in found]


def last_number(connection: Connection[Any]) -> int | None:
    """The number of the version in force; None: there is none."""
    found = connection.execute("SELECT max(id) FROM flags_version").fetchone()
    return found[0] if found else None


def in_force(connection: Connection[Any]) -> FlagsInForce | None:
    """The version in force, and the last order to the brake; None: there are no flags yet."""
    order = last_order(connection)
    last = next(iter(versions(connection, 1)), None)
    return None if last is None else FlagsInForce(last, None if order is None else order.id)


def add_version(
    connection: Connection[Any],
    text: str,
    *,
    who: str,
    reason: str,
    before: str | None = None,
    seen: FlagsInForce | None = None,
) -> PushedFlags:
    """Bring a version, and tell everybody who listens.

    With `before` only if the version in force has this digest, or one that begins so; with `seen` only if
    that is in force. Content that is in force already makes no new version.
    """
    digest = sha256(text.encode()).hexdigest()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        now = in_force(connection)
        last = None if now is None else now.version
        if seen is not None and seen != now:
            return PushedFlags(last or seen.version, False)
        if last is not None and (last.digest == digest or not last.digest.startswith(before or "")):
            return PushedFlags(last, last.digest == digest)
        version = _add(connection, last, text, digest, who=who, reason=reason, seen=seen)
        if version is None:
            assert seen is not None
            return PushedFlags(seen.version, False)
    return PushedFlags(version, True)


def bring_back(connection: Connection[Any], version: FlagsVersion) -> bool:
    """Bring a version again that was in force when the store was restored from an older backup.

    False: the store has it, or a later one.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        last = next(iter(versions(connection, 1)), None)
        asked = "SELECT 1 FROM flags_version WHERE id = %s AND digest = %s AND at = %s"
        found = connection.execute(asked, (version.id, version.digest, version.at)).fetchone()
        if found or (last is not None and last.at >= version.at):
            return False
        _add(
            connection,
            last,
            version.text,
            version.digest,
            who=version.who,
            reason=version.reason,
            at=version.at,
        )
    return True


def _add(
    connection: Connection[Any],
    last: FlagsVersion | None,
    text: str,
    digest: str,
    *,
    who: str,
    reason: str,
    at: Wall | None = None,
    seen: FlagsInForce | None = None,
) -> FlagsVersion | None:
    """Add the version that follows `last`, of the time `at` (None: now), and tell everybody who listens.

    With `seen` only if that is the last order to the brake at this moment; otherwise None. On a slow line an
    order may come after what was asked before, and no order may wait for us.
    """
    added = connection.execute(
        "INSERT INTO flags_version (text, digest, before, who, reason, at) "
        f"SELECT %s, %s, %s, %s, %s, coalesce(%s, {NOW}) "
        "WHERE %s OR (SELECT max(id) FROM brake_order) IS NOT DISTINCT FROM %s".encode(),
        [
            *keepable([text, digest, None if last is None else last.digest, who, reason]),
            at,
            seen is None,
            None if seen is None else seen.order,
        ],
    )
    if not added.rowcount:
        return None
    connection.execute(f"NOTIFY {CHANNEL}".encode())
    (version,) = versions(connection, 1)
    return version
