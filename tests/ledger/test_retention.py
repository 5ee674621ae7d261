"""Old rows are deleted by the time that was really measured, whatever the wall clock says at a start."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from shim.ledger.rows import RunRow
from shim.ledger.sqlite.database import Database
from tests.ledger.helpers import DAY, NOW, S, content, coverage, run, verdict

KEEP = 30 * DAY
FIRST = run(NOW, pid=1)


def lived(path: Path, row: RunRow, length: int, verdicts: int = 0) -> None:
    """A run of so many seconds that ended without a clean stop; its verdicts came at its begin."""
    with closing(Database(path, row)) as database:
        since = (row.started_at - NOW) // S
        rows = [verdict(since + number) for number in range(verdicts)]
        database.store([*rows, coverage(since + length - 60)], 1, row.started_at + length * S)


def trimmed(path: Path, row: RunRow, after: int) -> list[str]:
    """What is left of the verdicts when this run has lasted so many seconds."""
    with closing(Database(path, row)) as database:
        while database.trim(KEEP, row.started_at + after * S, 100):
            pass
    return [str(name) for name in content(path)]


@pytest.mark.parametrize("ahead", [100 * DAY, -100 * DAY, -NOW])
def test_a_start_with_a_wrong_clock_deletes_nothing(path: Path, ahead: int) -> None:
    lived(path, FIRST, 600, verdicts=20)
    wrong = run(NOW + ahead + 700 * S, pid=2)
    assert len(trimmed(path, wrong, 52)) == 20
    lived(path, wrong, 52)
    right = run(NOW + 800 * S, pid=3)
    assert len(trimmed(path, right, 600)) == 20


def test_what_was_measured_since_counts(path: Path) -> None:
    """The rest of its run, the runs after it, and this one; not the time when no shim ran."""
    lived(path, FIRST, 10 * DAY // S, verdicts=20)
    lived(path, run(NOW + 50 * DAY, pid=2), 10 * DAY // S)
    last = run(NOW + 90 * DAY, pid=3)
    assert len(trimmed(path, last, 10 * DAY // S)) == 20
    assert trimmed(path, last, 10 * DAY // S + 5) == [f"c{n}" for n in range(5, 20)]
    assert trimmed(path, last, 25 * DAY // S) == []


def test_the_time_between_two_runs_counts_where_the_machine_measured_it(path: Path) -> None:
    lived(path, replace(FIRST, boot="a", uptime=100 * S), 100, verdicts=20)
    elsewhere = replace(run(NOW + DAY, pid=2), boot="b", uptime=200 * S + KEEP)
    assert len(trimmed(path, elsewhere, 1)) == 20
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM run WHERE id = 2")
    # By the wall clock a day has passed, by the machine's own 30 days.
    same = replace(run(NOW + DAY, pid=3), boot="a", uptime=100 * S + KEEP)
    assert trimmed(path, same, 10) == [f"c{n}" for n in range(10, 20)]


def test_a_run_of_an_older_shim_counts_with_what_it_watched(tmp_path: Path) -> None:
    """Its times went by the wall clock, which was set in the middle of it."""
    path = tmp_path / "shim.db"
    with closing(Database(path, FIRST)) as database:
        hour = [coverage(60 * minute) for minute in range(60)]
        database.store([verdict(n) for n in range(20)] + hour + [coverage(100 * DAY // S)], 1)
        database.connection.execute("UPDATE run SET seen_at = NULL, stopped_at = NULL")
    last = run(NOW + 101 * DAY, pid=2)
    assert len(trimmed(path, last, 60)) == 20
    assert trimmed(path, last, KEEP // S) == []
    path = tmp_path / "other.db"
    lived(path, FIRST, 600, verdicts=20)
    jumped = run(NOW + DAY, pid=2)
    with closing(Database(path, jumped)) as database:
        database.store([*hour, coverage(100 * DAY // S)], 1)
        database.connection.execute("UPDATE run SET seen_at = NULL WHERE id = 2")
    assert len(trimmed(path, run(NOW + 102 * DAY, pid=3), 60)) == 20
