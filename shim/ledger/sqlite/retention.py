"""The rows that have been kept long enough, by the time that was really measured since they were written.

The wall clock may be wrong when a process starts: by its word, weeks of evidence could be too old at once.
So the age of a row is made of what runs measured with clocks that nobody sets: the rest of its own run, the
runs after that one, and the time between two runs where the machine was not restarted in between. Time in
which no shim ran on this machine does not count.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from shim.ledger.rows import ROWS, Wall
from shim.model import Duration

_EVER: Wall = -(1 << 63)
_NEVER: Wall = (1 << 63) - 1

_RUNS = """
SELECT id, started_at, max(coalesce(stopped_at, started_at), coalesce(seen_at, started_at)), boot, uptime,
    seen_at IS NOT NULL
FROM run WHERE id <= ? ORDER BY id DESC
"""

_WATCHED = """
SELECT coalesce(max(watched), 0), max(until) FROM
    (SELECT sum(at - since) AS watched, max(at) AS until FROM coverage WHERE run = ? GROUP BY connection_kind)
"""
"""What an older shim's run watched, to the minute: its other times go by the wall clock."""


@dataclass(frozen=True, slots=True)
class _Run:
    """`length` is what was measured of it; `is_steady`: its times go by one clock, so that they are true."""

    id: int
    since: Wall
    until: Wall
    length: Duration
    boot: str | None
    uptime: Duration | None
    is_steady: bool


class Retention:
    """Deletes the rows of the runs up to `run` that are older than `keep`."""

    def __init__(self, database: sqlite3.Connection, run: int, keep: Duration) -> None:
        self._database = database
        self._run = run
        self._keep = keep
        self._done: set[int] = set()

    def trim(self, now: Wall, most: int) -> int:
        """Delete at most `most` rows of each table and run; return how many rows were deleted.

        `now` is by the time of day of this run. To be called within a transaction.
        """
        deleted = 0
        for run, before in self._ends(now):
            if run.id in self._done:
                continue
            found = sum(
                self._delete(run, before, row.TABLE, row.AGE, most) for row in ROWS if row.AGE
            )
            if not found and before is None:
                self._done.add(run.id)
            deleted += found
        return deleted

    def _ends(self, now: Wall) -> Iterator[tuple[_Run, Wall | None]]:
        """Each run with rows that are too old, and before when they are; None: all of them are."""
        later: _Run | None = None
        age: Duration = 0  # of the end of the run at hand
        for run in self._runs(now):
            if later is not None:
                age += later.length + _between(run, later)
            if age + run.length >= self._keep:
                yield run, run.until - (self._keep - age) if age < self._keep else None
            later = run

    def _runs(self, now: Wall) -> Iterator[_Run]:
        """The newest first; this one goes on until now."""
        for id_, since, until, boot, uptime, is_steady in self._database.execute(
            _RUNS, (self._run,)
        ).fetchall():
            if id_ == self._run:
                yield _Run(id_, since, now, max(0, now - since), boot, uptime, True)
            elif is_steady:
                yield _Run(id_, since, until, max(0, until - since), boot, uptime, True)
            else:
                watched, last = self._database.execute(_WATCHED, (id_,)).fetchone()
                yield _Run(id_, since, last or until, watched, boot, uptime, False)

    def _delete(
        self, run: _Run, before: Wall | None, table: str, age: str | None, most: int
    ) -> int:
        # Every table that ages has an index that begins with its age.
        since = run.since if run.is_steady and run.id != self._run else _EVER
        return self._database.execute(
            f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} "
            f"WHERE run = ? AND {age} >= ? AND {age} < ? ORDER BY {age} LIMIT ?)",
            (run.id, since, _NEVER if before is None else before, most),
        ).rowcount


def _between(run: _Run, later: _Run) -> Duration:
    """The time between two runs, if the machine measured it."""
    if run.boot is None or run.boot != later.boot or run.uptime is None or later.uptime is None:
        return 0
    return max(0, later.uptime - run.uptime - run.length)
