"""The tables of the SQLite ledger, and how an older file becomes a newer one.

`PRAGMA user_version` is the number of migrations that were applied; `application_id` says that it is a
ledger at all.

The large tables are indexed by time first: new rows then go to the end of an index, which makes writing
several times faster than one that has, say, the users in order. A user's rows are found by reading such
an index from one end to the other, which takes a tenth of a second for a million rows.
"""

import sqlite3

from shim.ledger.protocols import UnusableError

APPLICATION_ID = 0x5348494D
"""`SHIM` in ASCII: `file` and we ourselves can tell a ledger from other databases."""

_CONNECTION = """
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,
"""

_FIRST = f"""
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    settings TEXT NOT NULL,
    tolerance INTEGER NOT NULL,
    window INTEGER NOT NULL,
    return_window INTEGER NOT NULL,
    stopped_at INTEGER
);
CREATE TABLE decision ({_CONNECTION}
    role TEXT NOT NULL,
    acted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    silence INTEGER NOT NULL,
    code INTEGER,
    pings TEXT NOT NULL
);
CREATE INDEX decision_at ON decision (at, user);
CREATE TABLE verdict ({_CONNECTION}
    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    first TEXT,
    acting TEXT,
    control_at INTEGER,
    candidate_at INTEGER,
    recovered INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    rule TEXT,
    trace TEXT,
    -- The first decider was shadowing: only such an episode proves anything (R14).
    proving INTEGER AS (first IS NOT NULL AND first IS NOT acting),
    agreed INTEGER AS (CASE WHEN first IS NOT NULL AND first IS NOT acting THEN
        CASE verdict WHEN 'matched' THEN 1 WHEN 'mismatched' THEN 0 END END)
);
CREATE INDEX verdict_at ON verdict (at, user, package);
CREATE INDEX verdict_agreed ON verdict (connection_kind, at, user, agreed) WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unmatched ON verdict (verdict, at) WHERE verdict <> 'matched';
CREATE TABLE late ({_CONNECTION}
    role TEXT NOT NULL,
    at INTEGER NOT NULL,
    acting TEXT
);
CREATE INDEX late_at ON late (at, user);
CREATE TABLE action ({_CONNECTION}
    role TEXT NOT NULL,
    acted_at INTEGER NOT NULL,
    code INTEGER,
    result TEXT,
    at INTEGER,
    delay INTEGER,
    by_percentage INTEGER,
    UNIQUE (run, connection)
);
CREATE INDEX action_at ON action (acted_at);
CREATE INDEX action_open ON action (run) WHERE result IS NULL;
CREATE INDEX action_comparable ON action (connection_kind, role, acted_at) WHERE by_percentage;
CREATE TABLE proof ({_CONNECTION}
    role TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX proof_connection ON proof (run, connection);
CREATE INDEX proof_at ON proof (at);
CREATE TABLE closing ({_CONNECTION}
    stage INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    intended INTEGER,
    observed INTEGER NOT NULL
);
CREATE INDEX closing_at ON closing (at, user);
CREATE TABLE stage_change ({_CONNECTION}
    before INTEGER NOT NULL,
    after INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX stage_change_at ON stage_change (at, user);
CREATE TABLE failure (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    role TEXT NOT NULL,
    call TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    connection TEXT,
    connection_kind TEXT,
    user TEXT,
    package TEXT
);
CREATE INDEX failure_at ON failure (at);
CREATE TABLE flags_load (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    at INTEGER NOT NULL,
    file TEXT NOT NULL,
    digest TEXT NOT NULL,
    before TEXT,
    problem TEXT,
    by TEXT,
    reason TEXT
);
CREATE TABLE brake (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    engaged INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE guard (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    holding INTEGER NOT NULL,
    acting_for INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE coverage (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection_kind TEXT NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    connected INTEGER NOT NULL,
    control_acted INTEGER NOT NULL,
    candidate_acted INTEGER NOT NULL,
    watched INTEGER NOT NULL,
    pings INTEGER NOT NULL,
    heartbeat_interval INTEGER,
    control_users INTEGER NOT NULL,
    candidate_users INTEGER NOT NULL
);
CREATE INDEX coverage_at ON coverage (at);
CREATE TABLE pause (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    since INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX pause_at ON pause (at);
CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL
);
"""

_SECOND = """
-- All that is counted of millions of verdicts, so that nobody has to look into the table for it.
DROP INDEX verdict_agreed;
CREATE INDEX verdict_agreed ON verdict (connection_kind, at, user, agreed, kind, rule)
    WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unproving ON verdict (connection_kind, at, verdict, kind, proving, rule)
    WHERE agreed IS NULL;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _SECOND)
"""One script for each version of the schema; a released one is never changed."""


def check(database: sqlite3.Connection, name: str) -> int:
    """The schema's version of a file, 0 for an empty one. Raises UnusableError if it is no ledger."""
    try:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise UnusableError(f"{name} is no ledger: {error}") from None
        raise
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise UnusableError(f"{name} is the database of another program")
    if version > len(MIGRATIONS):
        raise UnusableError(
            f"{name} was written by a newer shim (schema {version}, this one knows {len(MIGRATIONS)})"
        )
    return int(version)


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the tables up to date, all migrations in one transaction."""
    if version == len(MIGRATIONS):
        return
    script = "".join(MIGRATIONS[version:])
    database.executescript(
        f"BEGIN IMMEDIATE;{script}PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {len(MIGRATIONS)};COMMIT;"
    )
