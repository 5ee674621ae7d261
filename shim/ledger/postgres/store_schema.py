"""The tables of the store, made from the types of the rows, and how an older store becomes a newer one.

They have the columns of the tables in a SQLite ledger, so that one question fits both. `id` and `run` are
given by the store; a run's `uuid` and a row's `number` are those of the outbox that it comes from.

All of it is in the schema `shim` of the database. The large tables are indexed by time first. No index
contains a text that a client chose: PostgreSQL refuses an entry of more than 2.6 kB, and with it the row.

Rules: docs/design.md#r14, docs/design.md#r16, docs/design.md#r23, docs/design.md#r24.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg import Connection, Cursor, sql

from shim.ledger.columns import columns_of
from shim.ledger.protocols import NoStoreError, UnusableError
from shim.ledger.queries.snapshot import quoted
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    CoverageRow,
    ProofRow,
    Row,
    RunRow,
    VerdictRow,
)

SCHEMA = "shim"
_LOCK = 0x5348494D
"""The advisory lock of whoever begins or upgrades the store."""

_TYPES = {bool: "BOOLEAN", int: "BIGINT", str: 'TEXT COLLATE "C"'}
"""Texts are compared byte by byte, as SQLite does."""

_PROVING = "(first IS NOT NULL AND (acting IS NULL OR first <> acting))"

_IDENTITY = (
    "GENERATED ALWAYS AS (hashtextextended(\"user\" || '/' || connection_kind || '/' || "
    "coalesce(package, '') || '/' || coalesce(instance, ''), 0)) STORED"
)
"""A number that is the same for rows of one identity, and rarely for others."""

_COLUMNS: Mapping[type[Row], tuple[str, ...]] = {
    VerdictRow: (
        # The first decider was shadowing: only such an episode proves anything (R14).
        f"proving BOOLEAN NOT NULL GENERATED ALWAYS AS ({_PROVING}) STORED",
        # What the gate counts: no improvements, no users of overrides (R14, R16).
        f"agreed BOOLEAN GENERATED ALWAYS AS (CASE WHEN {_PROVING} AND NOT coalesce(overridden, false) "
        "AND NOT (kind = 'only_control' AND recovered) THEN "
        "CASE verdict WHEN 'matched' THEN true WHEN 'mismatched' THEN false END END) STORED",
    ),
    ActionRow: (
        "UNIQUE (run, connection)",
        # What the fleet concludes (R24): in which transaction, counted; and whether some process cannot tell.
        "conclusion BIGINT",
        "unsure BOOLEAN NOT NULL DEFAULT false",
        f"identity BIGINT NOT NULL {_IDENTITY}",
    ),
}
"""What a table has in addition to the columns of its row."""

_INDEXES: Mapping[type[Row], tuple[str, ...]] = {
    VerdictRow: (
        "(verdict, at) WHERE verdict <> 'matched'",
        "(connection_kind, at) WHERE agreed IS NOT NULL",
        "(connection_kind, at) WHERE agreed IS NULL",
    ),
    ActionRow: (
        "(connection_kind, window_ends) WHERE window_ends IS NOT NULL",
        "(id) WHERE result IS NULL",
        "(identity) WHERE result IS NULL",
        "(run, conclusion) WHERE conclusion IS NOT NULL",
    ),
    ProofRow: ("(run, connection)",),
    CoverageRow: ("(run, at)",),
}
"""In addition to the index of each table by age."""

_FLEET_TABLES = f"""
CREATE TABLE store (
    version INTEGER NOT NULL,
    fleet TEXT NOT NULL,
    concluded_until BIGINT,
    conclusion BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE process (
    run BIGINT PRIMARY KEY,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    complete_until BIGINT,
    clock_offset BIGINT,
    waiting BIGINT NOT NULL,
    ended BOOLEAN NOT NULL,
    state TEXT,
    told_until BIGINT,
    seen_action BIGINT NOT NULL DEFAULT 0,
    forgotten_at BIGINT,
    forgotten_by TEXT,
    forgotten_reason TEXT
) WITH (fillfactor = 50);
CREATE TABLE opening (
    run BIGINT NOT NULL,
    connection TEXT NOT NULL,
    "user" TEXT COLLATE "C" NOT NULL,
    connection_kind TEXT COLLATE "C" NOT NULL,
    package TEXT COLLATE "C",
    instance TEXT COLLATE "C",
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    used BOOLEAN NOT NULL DEFAULT false,
    identity BIGINT NOT NULL {_IDENTITY},
    PRIMARY KEY (run, connection)
);
CREATE INDEX ON opening (identity);
CREATE INDEX ON opening (opened_at);
CREATE TABLE brake_order (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    engaged BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    process TEXT NOT NULL,
    at BIGINT NOT NULL,
    origin TEXT UNIQUE
);
CREATE TABLE flags_version (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text TEXT NOT NULL,
    digest TEXT NOT NULL,
    before TEXT,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE TABLE lease (
    duty TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
"""
"""`process` has a row for each run that has reached the store. All times are by the store's clock: when it
was last heard of, and up to when all that it found out is here. `clock_offset` is the store's clock minus its
own, `waiting` the rows that it has not shipped yet; `state` is what it said of itself last, as JSON. Of the
actions up to `seen_action` it has told all openings up to `told_until` (null: it takes no part in R24).
`forgotten_…`: when it was last forgotten (`shim ledger forget`), by whom and why.
`opening` has the connections that may be returns. `concluded_until`: until then all outcomes are concluded;
`conclusion` counts the transactions that conclude."""

UPGRADES: tuple[str, ...] = (
    "ALTER TABLE process ADD forgotten_at BIGINT, ADD forgotten_by TEXT, ADD forgotten_reason TEXT",
)
"""What leads from each version of the store to the next, the first being 1. A new column is a field of its
row (new stores have it at once) and an upgrade; a released upgrade is never changed."""


class StoreFacts(NamedTuple):
    """What a store says of itself."""

    version: int
    fleet: str


def newest() -> int:
    """The version of the store that this shim writes."""
    return len(UPGRADES) + 1


def read_facts(connection: Connection[Any], place: str) -> StoreFacts:
    """Raises UnusableError if there is no store in the database, or a newer shim's, or an older one."""
    facts = _facts(connection)
    if facts is None:
        raise NoStoreError(f"{place} has no store yet: no shim has written to it")
    _refuse_newer(facts, place)
    if facts.version < newest():
        raise UnusableError(
            f"{place} has version {facts.version} of the store: let a shim of this version write to it once"
        )
    return facts


def prepare(connection: Connection[Any], fleet: str | None, place: str) -> StoreFacts:
    """Begin the store for this fleet, or bring it up to date, once whoever else does so at the same time.

    `fleet` None: the fleet whose store it is. Raises UnusableError for a newer shim's store, or another
    fleet's.
    """
    with connection.transaction():
        facts = _facts(connection)
        if facts is None or facts.version < newest():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            facts = _facts(connection)
        if facts is None:
            facts = StoreFacts(newest(), fleet or "shim")
            _begin(connection, facts)
        _refuse_newer(facts, place)
        if fleet is not None:
            refuse_others(facts, fleet, place)
        for upgrade in UPGRADES[facts.version - 1 :]:
            _execute(connection, upgrade)
            connection.execute("UPDATE store SET version = version + 1")
    return facts


def refuse_others(facts: StoreFacts, fleet: str, place: str) -> None:
    """Raises UnusableError if this is not the fleet's own store."""
    if facts.fleet != fleet:
        raise UnusableError(
            f"{place} is the store of the fleet {facts.fleet!r}, and this is a process of the fleet "
            f"{fleet!r}: each fleet needs a database of its own (the key `fleet` names it)"
        )


def grant(connection: Connection[Any], role: str, *, write: bool) -> None:
    """Let a role write to the store, or only read it."""
    rights = "SELECT, INSERT, UPDATE, DELETE" if write else "SELECT"
    for statement in (
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT {rights} ON ALL TABLES IN SCHEMA {{schema}} TO {{role}}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{schema}} GRANT {rights} ON TABLES TO {{role}}",
    ):
        connection.execute(
            sql.SQL(statement).format(schema=sql.Identifier(SCHEMA), role=sql.Identifier(role))
        )


def new_tables() -> str:
    """The script that makes the tables of a new store, as the rows declare them."""
    return _FLEET_TABLES + "".join(map(_table, ROWS))


def _facts(connection: Connection[Any]) -> StoreFacts | None:
    found: Cursor[tuple[Any, ...]] = connection.execute("SELECT to_regclass('shim.store')")
    if found.fetchone() == (None,):
        return None
    row = connection.execute("SELECT version, fleet FROM shim.store").fetchone()
    return StoreFacts(*row) if row else None


def _begin(connection: Connection[Any], facts: StoreFacts) -> None:
    connection.execute("CREATE SCHEMA IF NOT EXISTS shim")
    _execute(connection, new_tables())
    connection.execute("INSERT INTO store (version, fleet) VALUES (%s, %s)", facts)


def _execute(connection: Connection[Any], script: str) -> None:
    """Several statements of our own."""
    connection.execute(script.encode())


def _refuse_newer(facts: StoreFacts, place: str) -> None:
    if facts.version > newest():
        raise UnusableError(
            f"{place} is a newer shim's store (version {facts.version}, this shim knows {newest()})"
        )


def _table(row: type[Row]) -> str:
    columns = ["id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"]
    if row is RunRow:
        columns.append("UNIQUE (uuid)")
    else:
        # No foreign key: its check of each row takes longer than the row, and rows come with their run's lock.
        columns += ["run BIGINT NOT NULL", "number BIGINT NOT NULL", "UNIQUE (run, number)"]
    for column in columns_of(row):
        needed = "" if column.optional else " NOT NULL"
        columns.append(f"{quoted(column.name)} {_TYPES[column.kind]}{needed}")
    columns += _COLUMNS.get(row, ())
    indexed = [*([f"({row.AGE})"] if row.AGE else []), *_INDEXES.get(row, ())]
    indexes = "".join(f"CREATE INDEX ON {row.TABLE} {index};\n" for index in indexed)
    return f"CREATE TABLE {row.TABLE} (\n    {', '.join(columns)}\n);\n{indexes}"
