"""What one process at a time reads to conclude outcomes for all, and what it writes (R24).

Rules: docs/design.md#r24.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import Connection

from shim.compare.fleet_outcomes import Conclusion, FactKey, FleetAction, FleetOpening, Unknown
from shim.ledger.postgres.openings import EVERYTHING, GIVEN_UP
from shim.ledger.postgres.process_list import NOW
from shim.ledger.postgres.store_connection import unnest
from shim.ledger.postgres.store_reader import LISTED_FOR
from shim.ledger.rows import Wall
from shim.model import Duration

_MOST = 20_000
"""Identities that are concluded at once."""

_KEPT: Duration = 3_600_000_000
"""How long openings are kept that matter to no action."""

_NAMES = '"user", connection_kind, package, instance'
_PENDING = "result IS NULL AND window_ends IS NOT NULL AND last_activity IS NOT NULL"
_OURS = "EXISTS (SELECT 1 FROM process WHERE process.run = action.run AND told_until IS NOT NULL)"
"""An action of a process that takes part; others conclude their outcomes themselves."""


_SETTLE = (
    "UPDATE action SET result = settled.result, at = settled.at, delay = settled.delay, conclusion = %s "
    f"FROM {unnest('bigint', 'text', 'bigint', 'bigint')} AS settled (id, result, at, delay) "
    "WHERE action.id = settled.id AND action.result IS NULL"
).encode()
_USE = (
    f"UPDATE opening SET used = true FROM {unnest('bigint', 'text')} AS used_up (run, connection) "
    "WHERE opening.run = used_up.run AND opening.connection = used_up.connection"
).encode()


class Frontier(NamedTuple):
    """How far the fleet can conclude, by the store's clock.

    Attributes:
        known_until: until then every process that is waited for has told everything.
        seen_action: the last action of which every such process has told its openings.
        unknown: the times of processes that cannot tell any more, and those in which no process lived.
        conclusion: the number of the last transaction that concluded something before.
    """

    known_until: Wall
    seen_action: int
    unknown: list[Unknown]
    conclusion: int


class IdentityFacts(NamedTuple):
    """The actions of one identity that wait, by key also their ids, and its openings."""

    actions: list[FleetAction]
    ids: dict[FactKey, int]
    openings: list[FleetOpening]
    unsure: set[FactKey]


def read_frontier(
    connection: Connection[Any], now: Wall, *, latest: Wall, gives_up: bool
) -> Frontier | None:
    """None: nobody can conclude anything.

    `latest`: what is later is not known yet, whatever the listed processes have told. `gives_up`: a process
    that was not heard of for `GIVEN_UP` is no longer waited for.
    """
    waited_for: list[tuple[Wall, int]] = []
    unknown = []
    lived_until: Wall | None = None
    for ended, started_at, seen_at, told_until, seen_action in connection.execute(
        "SELECT ended, started_at, greatest(process.seen_at, forgotten_at), told_until, seen_action "
        "FROM process JOIN run ON run.id = process.run "
        "WHERE told_until IS NOT NULL AND process.seen_at > %s ORDER BY started_at",
        (now - 2 * LISTED_FOR,),
    ).fetchall():
        if lived_until is not None and started_at > lived_until:
            unknown.append(Unknown(lived_until, started_at))
        lived_until = max(lived_until or 0, seen_at if ended else now)
        if told_until == EVERYTHING:
            continue
        silent = gives_up and seen_at < now - GIVEN_UP
        if ended or silent:
            # A silent process may serve clients as long as it is listed.
            unknown.append(Unknown(told_until, seen_at if ended else seen_at + LISTED_FOR))
        else:
            waited_for.append((told_until, seen_action))
    if not waited_for:
        return None
    known_until = min(latest, *(told_until for told_until, _ in waited_for))
    seen_action = min(seen for _, seen in waited_for)
    (unseen,) = connection.execute(
        f"SELECT min(acted_at) FROM action WHERE id > %s AND {_PENDING} AND {_OURS}".encode(),
        (seen_action,),
    ).fetchone() or (None,)
    if unseen is not None:
        known_until = min(known_until, unseen - 1)
    (conclusion,) = connection.execute("SELECT conclusion FROM store").fetchone() or (0,)
    return Frontier(known_until, seen_action, unknown, conclusion)


def read_concluded_age(connection: Connection[Any]) -> Duration | None:
    """How long ago the time ends up to which everything is concluded; None: nothing ever was."""
    (age,) = connection.execute(
        f"SELECT {NOW} - concluded_until FROM store".encode()
    ).fetchone() or (None,)
    return age


def read_facts_due(
    connection: Connection[Any], frontier: Frontier
) -> tuple[list[IdentityFacts], bool]:
    """The facts of the identities about which something may be concluded; whether these are all of them."""
    due = [
        number
        for (number,) in connection.execute(
            f"SELECT identity FROM action WHERE {_PENDING} AND id <= %s AND acted_at <= %s AND {_OURS} AND "
            "(window_ends < %s OR EXISTS (SELECT 1 FROM opening WHERE opening.identity = action.identity "
            "AND opening.opened_at > action.last_activity)) "
            f"GROUP BY identity ORDER BY min(window_ends) LIMIT {_MOST}".encode(),
            (frontier.seen_action, frontier.known_until, frontier.known_until),
        ).fetchall()
    ]
    if not due:
        return [], True
    found: dict[tuple[Any, ...], IdentityFacts] = {}
    for id, run, name, *identity, acted, last, ends, unsure in connection.execute(
        f"SELECT id, run, connection, {_NAMES}, acted_at, last_activity, window_ends, unsure FROM action "
        f"WHERE {_PENDING} AND id <= %s AND {_OURS} AND identity = ANY(%s)".encode(),
        (frontier.seen_action, due),
    ).fetchall():
        facts = found.setdefault(tuple(identity), IdentityFacts([], {}, [], set()))
        key = (str(run), name)
        facts.actions.append(
            FleetAction(key=key, acted_at=acted, last_activity=last, window_ends=ends)
        )
        facts.ids[key] = id
        if unsure:
            facts.unsure.add(key)
    for run, name, *identity, opened, closed, used in connection.execute(
        f"SELECT run, connection, {_NAMES}, opened_at, closed_at, used FROM opening "
        "WHERE identity = ANY(%s)",
        (due,),
    ).fetchall():
        if (of := found.get(tuple(identity))) is not None:
            of.openings.append(
                FleetOpening(key=(str(run), name), opened_at=opened, closed_at=closed, used=used)
            )
    return list(found.values()), len(due) < _MOST


def write_conclusions(
    connection: Connection[Any],
    conclusions: Sequence[Conclusion],
    ids: Mapping[FactKey, int],
    concluded_until: Wall | None,
    after: int,
) -> None:
    """Write down what was concluded, and up to when nothing is left to conclude (None: as before).

    Nothing is written if another transaction has concluded something after the one with the number `after`.
    To be called in a transaction that holds the lease.
    """
    with connection.cursor() as cursor:
        if not conclusions:
            # A crash of the store may forget that: it is found out again.
            cursor.execute("SET LOCAL synchronous_commit = off")
        found = cursor.execute(
            "UPDATE store SET conclusion = conclusion + 1, "
            "concluded_until = greatest(concluded_until, %s) WHERE conclusion = %s",
            (concluded_until, after),
        )
        if not found.rowcount:
            return
        if conclusions:
            rows = (
                (ids[one.action.key], one.result.value, one.at, one.delay) for one in conclusions
            )
            cursor.execute(_SETTLE, (after + 1, *map(list, zip(*rows, strict=True))))
        if used := [one.opening.key for one in conclusions if one.opening is not None]:
            cursor.execute(_USE, [*map(list, zip(*used, strict=True))])


def trim_openings(connection: Connection[Any], known_until: Wall) -> None:
    """Delete the openings that are old, and matter to no action that waits."""
    connection.execute(
        "DELETE FROM opening WHERE opened_at < least(%s, "
        f"(SELECT min(last_activity) FROM action WHERE {_PENDING} AND {_OURS})) - %s".encode(),
        (known_until, _KEPT),
    )
