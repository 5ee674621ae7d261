"""What a process reads of the published actions, and what it tells of the openings that it has seen (R24).

Actions get their ids in the order of the commits. So whoever has read up to one id has missed none.

Rules: docs/design.md#r24.
"""

import re
from collections.abc import Collection
from typing import Any, NamedTuple

from psycopg import Connection

from shim.compare.fleet_returns import AT_ONCE, PublishedAction, ToldOpening
from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import keepable, unnest
from shim.ledger.rows import Wall
from shim.model import Duration, Kind, Return

EVERYTHING: Wall = (1 << 63) - 1
"""The `told_until` and the `seen_action` of a process that will have nothing more to tell."""

GIVEN_UP: Duration = 60_000_000
"""A process that was not heard of for so long no longer holds the others up."""

_CHANGED = re.compile(r"\\(x00|ud[89a-f])")
"""What `keepable` puts into a name."""


class Publication(NamedTuple):
    """What a process reads at one moment; times are by the store's clock.

    Attributes:
        complete_until: until then all actions of this process are in the store.
        known_until: until then all actions of all processes are among these, or were read before.
        last: the id up to which actions were read.
        changed: the ids of actions whose names PostgreSQL could not keep as they are: no process can tell
            whether they are its own clients'.
    """

    complete_until: Wall
    known_until: Wall | None
    actions: list[PublishedAction]
    last: int
    changed: list[int]


class StoredConclusion(NamedTuple):
    """What the fleet concluded about an action of this process."""

    connection: str
    result: Return
    delay: Duration | None


_TELL = (
    'INSERT INTO opening (run, connection, "user", connection_kind, package, instance, opened_at, closed_at) '
    f"SELECT %s::bigint, * FROM {unnest(*['text'] * 5, *['bigint'] * 2)} "
    "ON CONFLICT (run, connection) DO UPDATE SET closed_at = excluded.closed_at"
).encode()


def read_run(connection: Connection[Any], uuid: str) -> int | None:
    """The number of a run in the store; None: its process is not on the list yet."""
    found = connection.execute(
        "SELECT run.id FROM run JOIN process ON process.run = run.id WHERE run.uuid = %s", (uuid,)
    ).fetchone()
    return None if found is None else int(found[0])


def remembers(connection: Connection[Any], action: int, conclusion: int) -> bool:
    """Whether the store still has what a process read there up to these numbers; not if it was restored from
    an older backup."""
    found = connection.execute(
        "SELECT conclusion >= %s AND coalesce((SELECT max(id) FROM action), 0) >= %s FROM store",
        (conclusion, action),
    ).fetchone()
    return found is not None and bool(found[0])


def read_actions(connection: Connection[Any], run: int, after: int) -> Publication | None:
    """The actions with later ids; None: the process has shipped nothing yet."""
    # What is complete is read first: the actions that came meanwhile do no harm.
    own, known = connection.execute(
        "SELECT (SELECT complete_until FROM process WHERE run = %s), "
        "min(coalesce(complete_until, told_until)) FROM process "
        f"WHERE told_until IS NOT NULL AND NOT ended AND seen_at > {NOW} - {GIVEN_UP}".encode(),
        (run,),
    ).fetchone() or (None, None)
    if own is None:
        return None
    found = connection.execute(
        'SELECT id, "user", connection_kind, package, instance, acted_at, last_activity, window_ends '
        "FROM action WHERE id > %s AND result IS NULL AND window_ends IS NOT NULL "
        f"AND last_activity IS NOT NULL ORDER BY id LIMIT {AT_ONCE}".encode(),
        (after,),
    ).fetchall()
    actions = [
        PublishedAction(id, (user, Kind(kind), package, instance), *times)
        for id, user, kind, package, instance, *times in found
    ]
    last = actions[-1].id if actions else after
    changed = [
        one.id for one in actions if any(_CHANGED.search(each or "") for each in one.identity)
    ]
    return Publication(
        complete_until=own,
        known_until=known if len(found) < AT_ONCE else None,
        actions=actions,
        last=last,
        changed=changed,
    )


def tell_openings(
    connection: Connection[Any],
    run: int,
    openings: Collection[ToldOpening],
    unsure: Collection[int],
    *,
    told_until: Wall | None,
    seen_action: int | None,
) -> None:
    """Write down what a process has to tell, and up to when, and of which actions, that is everything.

    None: that is as it was.
    """
    with connection.transaction(), connection.cursor() as cursor:
        if not openings and not unsure:
            # A crash of the store may forget the last second: then less is known to be told.
            cursor.execute("SET LOCAL synchronous_commit = off")
        if openings:
            rows = (
                (one.id, *keepable(one.identity), opened_at, closed_at)
                for one, opened_at, closed_at in openings
            )
            cursor.execute(_TELL, (run, *map(list, zip(*rows, strict=True))))
        if unsure:
            cursor.execute("UPDATE action SET unsure = true WHERE id = ANY(%s)", (list(unsure),))
        cursor.execute(
            "UPDATE process SET told_until = greatest(told_until, %s), "
            "seen_action = greatest(seen_action, %s) WHERE run = %s",
            (told_until, seen_action, run),
        )


def read_conclusions(
    connection: Connection[Any], run: int, after: int
) -> tuple[list[StoredConclusion], int]:
    """What was concluded about a run's actions in later transactions, and the number of the last one."""
    found = connection.execute(
        "SELECT connection, result, delay, conclusion FROM action "
        "WHERE run = %s AND conclusion > %s ORDER BY conclusion, id",
        (run, after),
    ).fetchall()
    conclusions = [
        StoredConclusion(connection, Return(result), delay)
        for connection, result, delay, _ in found
    ]
    return conclusions, found[-1][3] if found else after
