"""The tables of the SQLite ledger, made from the types of the rows, and how an older file becomes a newer
one.

`PRAGMA user_version` is the version of the schema; `application_id` says that it is a ledger at all.

The large tables are indexed by time first: new rows then go to the end of an index, which makes writing
several times faster than one that has, say, the users in order. A user's rows are found by reading such
an index from one end to the other, which takes a tenth of a second for a million rows.

Rules: docs/design.md#r14, docs/design.md#r16, docs/design.md#r23.
"""

import sqlite3
from collections.abc import Mapping

from shim.ledger.columns import Column, columns_of
from shim.ledger.protocols import UnusableError
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    ClosingRow,
    ConnectionRow,
    CoverageRow,
    DecisionRow,
    FailureRow,
    LateRow,
    PauseRow,
    ProofRow,
    Row,
    RunRow,
    StageRow,
    VerdictRow,
)

APPLICATION_ID = 0x5348494D
"""`SHIM` in ASCII: `file` and we ourselves can tell a ledger from other databases."""

_AGREED = """    -- What the gate counts: no improvements, no users of overrides (R14, R16).
    agreed INTEGER AS (CASE WHEN first IS NOT NULL AND first IS NOT acting
        AND NOT coalesce(overridden, 0) AND NOT (kind = 'only_control' AND recovered) THEN
        CASE verdict WHEN 'matched' THEN 1 WHEN 'mismatched' THEN 0 END END)"""

_CONSTRAINTS: Mapping[type[Row], str] = {
    VerdictRow: f"""    -- The first decider was shadowing: only such an episode proves anything (R14).
    proving INTEGER AS (first IS NOT NULL AND first IS NOT acting),
{_AGREED}""",
    RunRow: "    UNIQUE (uuid)",
    ActionRow: "    UNIQUE (run, connection)",
}
"""What a table has in addition to the columns of its row."""

_INDEXES: Mapping[type[Row], tuple[str, ...]] = {
    DecisionRow: ("decision_at ON decision (at, user)",),
    VerdictRow: (
        "verdict_at ON verdict (at, user, package)",
        "verdict_unmatched ON verdict (verdict, at) WHERE verdict <> 'matched'",
    ),
    LateRow: ("late_at ON late (at, user)",),
    ActionRow: (
        "action_at ON action (acted_at)",
        "action_open ON action (run) WHERE result IS NULL",
        # A row's number grows with its id, except here, where an outcome changes an earlier row.
        "action_number ON action (run, number)",
    ),
    ProofRow: ("proof_connection ON proof (run, connection)", "proof_at ON proof (at)"),
    ClosingRow: ("closing_at ON closing (at, user)",),
    StageRow: ("stage_change_at ON stage_change (at, user)",),
    FailureRow: ("failure_at ON failure (at)",),
    CoverageRow: ("coverage_at ON coverage (at)", "coverage_run ON coverage (run, at)"),
    PauseRow: ("pause_at ON pause (at)",),
}

_COUNTING = """
-- All that is counted of millions of rows, so that nobody has to look into the tables for it.
CREATE INDEX verdict_agreed
    ON verdict (connection_kind, at, user, agreed, acting, run, placed_by, kind, rule)
    WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unproving
    ON verdict (connection_kind, at, verdict, kind, proving, recovered, run, overridden, rule)
    WHERE agreed IS NULL;
CREATE INDEX action_settled
    ON action (connection_kind, window_ends, user, role, result, placed_by, acted_at, run, connection,
    counted)
    WHERE window_ends IS NOT NULL;
"""

_SECOND = """
DROP INDEX verdict_agreed;
CREATE INDEX verdict_agreed ON verdict (connection_kind, at, user, agreed, kind, rule)
    WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unproving ON verdict (connection_kind, at, verdict, kind, proving, rule)
    WHERE agreed IS NULL;
"""

_THIRD = f"""
DROP INDEX verdict_agreed;
DROP INDEX verdict_unproving;
DROP INDEX action_comparable;
ALTER TABLE run ADD COLUMN monitors TEXT;
ALTER TABLE run ADD COLUMN comparison TEXT;
ALTER TABLE verdict DROP COLUMN agreed;
ALTER TABLE verdict ADD COLUMN overridden INTEGER;
ALTER TABLE verdict ADD COLUMN
{_AGREED};
ALTER TABLE action ADD COLUMN placed_by TEXT;
ALTER TABLE action ADD COLUMN window_ends INTEGER;
ALTER TABLE flags_load ADD COLUMN deciding TEXT;
ALTER TABLE brake ADD COLUMN by_itself INTEGER;
CREATE INDEX action_settled ON action (connection_kind, window_ends);
CREATE INDEX coverage_run ON coverage (run, at);
CREATE INDEX verdict_agreed ON verdict (connection_kind, at, user, agreed, kind, rule, acting, run)
    WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unproving ON verdict (connection_kind, at, verdict, kind, proving, rule, recovered, run)
    WHERE agreed IS NULL;
"""

_OF_CONNECTIONS = (
    *("decision", "verdict", "late", "action", "proof", "closing", "failure", "stage_change"),
)
_NUMBERED = (
    *_OF_CONNECTIONS,
    *("flags_load", "brake", "guard", "coverage", "pause", "clock_jump", "gap"),
)

_FOURTH = f"""
DROP INDEX verdict_agreed;
DROP INDEX verdict_unproving;
DROP INDEX action_settled;
ALTER TABLE verdict ADD COLUMN placed_by TEXT;
ALTER TABLE verdict ADD COLUMN counted INTEGER;
ALTER TABLE proof ADD COLUMN guard_event INTEGER;
ALTER TABLE proof ADD COLUMN counted INTEGER;
ALTER TABLE decision ADD COLUMN counted INTEGER;
ALTER TABLE action ADD COLUMN counted INTEGER;
ALTER TABLE action ADD COLUMN last_activity INTEGER;
CREATE TEMPORARY TABLE older_run AS SELECT * FROM run;
DROP TABLE run;
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    settings TEXT NOT NULL,
    tolerance INTEGER NOT NULL,
    window INTEGER NOT NULL,
    return_window INTEGER NOT NULL,
    stopped_at INTEGER,
    monitors TEXT,
    comparison TEXT,
    last_number INTEGER NOT NULL,
    seen_at INTEGER,
    boot TEXT,
    uptime INTEGER,
    UNIQUE (uuid)
);
INSERT INTO run SELECT id, lower(hex(randomblob(16))), started_at, pid, version, settings, tolerance,
    window, return_window, stopped_at, monitors, comparison, 0, NULL, NULL, NULL FROM older_run;
DROP TABLE older_run;
CREATE TABLE clock_jump (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    at INTEGER NOT NULL,
    by INTEGER NOT NULL,
    ahead INTEGER NOT NULL
);
{"".join(f"ALTER TABLE {table} ADD COLUMN number INTEGER;" for table in _NUMBERED)}
{"".join(f"ALTER TABLE {table} ADD COLUMN instance TEXT;" for table in _OF_CONNECTIONS)}
CREATE INDEX action_number ON action (run, number);
{_COUNTING}"""

UPGRADES: tuple[str, ...] = (_SECOND, _THIRD, _FOURTH)
"""What leads from each version of the schema to the next, the first being 1. A new column is a field of
its row (new files have it at once) and an upgrade; a released upgrade is never changed."""


def new_tables() -> str:
    """The script that makes the tables of a new file, as the rows declare them."""
    tables = "".join(
        f"{_table(row)};\n" + "".join(f"CREATE INDEX {index};\n" for index in _INDEXES.get(row, ()))
        for row in ROWS
    )
    return tables + _COUNTING


def _table(row: type[Row]) -> str:
    """A table with the columns of a row; those that it shares with other tables stand apart."""
    keys = ["    id INTEGER PRIMARY KEY"]
    if row is not RunRow:
        keys += ["    run INTEGER NOT NULL REFERENCES run (id)", "    number INTEGER"]
    columns = {column.name: f"    {_describe(column)}" for column in columns_of(row)}
    of_connection = ConnectionRow.columns() if issubclass(row, ConnectionRow) else ()
    shared = [columns.pop(name) for name in of_connection]
    own = [*columns.values(), *([_CONSTRAINTS[row]] if row in _CONSTRAINTS else [])]
    parts = [keys + shared, own] if shared else [keys + own]
    content = ",\n\n".join(",\n".join(part) for part in parts)
    return f"CREATE TABLE {row.TABLE} (\n{content}\n)"


def _describe(column: Column) -> str:
    kind = "TEXT" if column.kind is str else "INTEGER"
    return f"{column.name} {kind}{'' if column.optional else ' NOT NULL'}"


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
    if version > newest():
        raise UnusableError(
            f"{name} was written by a newer shim (schema {version}, this one knows {newest()})"
        )
    return int(version)


def newest() -> int:
    """The version of the schema that this shim writes."""
    return len(UPGRADES) + 1


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring the tables up to date, or make them for an empty file (version 0), in one transaction."""
    if version == newest():
        return
    script = "".join(UPGRADES[version - 1 :]) if version else new_tables()
    database.executescript(
        f"BEGIN IMMEDIATE;{script}PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {newest()};COMMIT;"
    )
