"""Ledgers for tests: rows, and a writer that is surely closed."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from shim.gate.observed_rows import ObservedRow
from shim.ledger.coverage_sums import CoverageSums
from shim.ledger.rows import (
    ROWS,
    ActionRow,
    CoverageRow,
    DecisionRow,
    FlagsRow,
    Row,
    RunRow,
    VerdictRow,
)
from shim.ledger.settled_actions import RESULTS, SettledActions
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import Kind, Return, Role, VerdictKind, VerdictName

S = 1_000_000
DAY = 86_400 * S
NOW = 1_795_000_000 * S


def run(
    started_at: int, pid: int = 4711, monitors: str | None = None, comparison: str | None = None
) -> RunRow:
    """A process that began then; without digests, a process of an older shim."""
    return RunRow(
        uuid=f"{started_at:024x}{pid:08x}",
        started_at=started_at,
        pid=pid,
        version="1.2.3",
        settings="digest",
        tolerance=16 * S,
        window=60 * S,
        return_window=120 * S,
        monitors=monitors,
        comparison=comparison,
    )


RUN = run(NOW)


class Wall:
    """A wall clock that stands still unless told otherwise."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@contextmanager
def ledger(path: Path, run: RunRow = RUN, **options: Any) -> Iterator[SqliteLedger]:
    writer = SqliteLedger(path, run, **options)
    try:
        yield writer
    finally:
        writer.close(5)


def verdict(number: int = 0, **changes: Any) -> VerdictRow:
    """A matched verdict, the candidate first, while the control acted; `number` seconds after NOW."""
    at = NOW + number * S
    facts: dict[str, Any] = {
        "connection": f"c{number}",
        "connection_kind": Kind.APP,
        "user": f"u{number}",
        "session": f"s{number}",
        "package": "com.example.app1",
        "verdict": VerdictName.MATCHED,
        "kind": VerdictKind.BOTH,
        "at": at,
        "first": Role.CANDIDATE,
        "acting": Role.CONTROL,
        "control_at": at,
        "candidate_at": at - 11 * S,
        "recovered": False,
        "last_activity": at - 56 * S,
        "rule": None,
        "trace": None,
    }
    return VerdictRow(**{**facts, **changes})


def mismatch(number: int = 0, **changes: Any) -> VerdictRow:
    """The candidate alone decided, and the client was alive."""
    facts = {
        "verdict": VerdictName.MISMATCHED,
        "kind": VerdictKind.ONLY_CANDIDATE,
        "control_at": None,
        "recovered": True,
    }
    return verdict(number, **{**facts, **changes})


def decision(number: int = 0, **changes: Any) -> DecisionRow:
    at = NOW + number * S
    facts: dict[str, Any] = {
        "connection": f"c{number}",
        "connection_kind": Kind.APP,
        "user": f"u{number}",
        "session": f"s{number}",
        "package": "com.example.app1",
        "role": Role.CANDIDATE,
        "acted": False,
        "at": at,
        "deadline": at,
        "silence": 45 * S,
        "code": 1001,
        "pings": (at - 30 * S, at - 15 * S),
    }
    return DecisionRow(**{**facts, **changes})


def action(number: int = 0, result: Return | None = None, settled: int | None = None) -> ActionRow:
    return ActionRow(
        connection=f"c{number}",
        connection_kind=Kind.APP,
        user=f"u{number}",
        session=f"s{number}",
        package="com.example.app1",
        role=Role.CONTROL,
        acted_at=NOW + number * S,
        code=None,
        result=result,
        at=settled,
    )


def settled_action(number: int = 0, **changes: Any) -> ActionRow:
    """The control acted, the client came back a second later; `number` seconds after NOW."""
    at = NOW + number * S
    facts: dict[str, Any] = {
        "connection": f"c{number}",
        "connection_kind": Kind.APP,
        "user": f"u{number}",
        "session": f"s{number}",
        "package": "com.example.app1",
        "role": Role.CONTROL,
        "acted_at": at,
        "code": 1001,
        "result": Return.RETURNED,
        "at": at + S,
        "delay": S,
        "by_percentage": True,
        "placed_by": "everybody",
        "window_ends": at + 120 * S,
    }
    return ActionRow(**{**facts, **changes})


def coverage(number: int = 0, **changes: Any) -> CoverageRow:
    """One minute in which the control acted for ten users; `number` seconds after NOW."""
    since = NOW + number * S
    facts: dict[str, Any] = {
        "connection_kind": Kind.APP,
        "since": since,
        "at": since + 60 * S,
        "connected": 600 * S,
        "control_acted": 600 * S,
        "candidate_acted": 0,
        "watched": 600 * S,
        "pings": 40,
        "heartbeat_interval": 15 * S,
        "control_users": 10,
        "candidate_users": 0,
    }
    return CoverageRow(**{**facts, **changes})


def flags_load(number: int = 0, **changes: Any) -> FlagsRow:
    """A flags file was taken up, `number` seconds after NOW."""
    facts: dict[str, Any] = {
        "at": NOW + number * S,
        "file": "rollout.yaml",
        "digest": "a",
        "before": None,
        "problem": None,
    }
    return FlagsRow(**{**facts, **changes})


def content(path: Path, table: str = "verdict", column: str = "connection") -> list[Any]:
    """One column of what a stranger's SQLite finds in the file, in the order of writing."""
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [value for (value,) in database.execute(f"SELECT {column} FROM {table} ORDER BY id")]
    finally:
        database.close()


def blocked(path: Path) -> sqlite3.Connection:
    """A stranger who holds the write lock."""
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    return stranger


# -- Any row at all --------------------------------------------------------------------------------


def any_row() -> st.SearchStrategy[Row]:
    """Rows of all types but `RunRow`, with any values that they may have."""
    return st.one_of(*(_of(row) for row in ROWS if row is not RunRow))


def _of(row: type[Row]) -> st.SearchStrategy[Row]:
    hints = get_type_hints(row)
    return st.builds(row, **{name: _value(hints[name]) for name in row.columns()})


def _value(hint: Any) -> st.SearchStrategy[Any]:
    if type(None) in (either := get_args(hint)):
        return st.one_of(*(st.none() if part is type(None) else _value(part) for part in either))
    if hint is str:
        return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(-(2**63), 2**63 - 1)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    assert hint == tuple[int, ...], hint
    return st.lists(st.integers(0, 2**53), max_size=4).map(tuple)


def minutes_of(sums: CoverageSums) -> list[tuple[int, ...]]:
    """Each minute with what every column has of it, in the order of the columns."""
    columns = (getattr(sums, column.name).tolist() for column in fields(sums))
    return [*zip(*columns, strict=True)]


def results_of(actions: SettledActions) -> list[tuple[ObservedRow, Return]]:
    """Each action with its result."""
    return [
        (row, RESULTS[result])
        for row, result in zip(actions.rows, actions.results.tolist(), strict=True)
    ]
