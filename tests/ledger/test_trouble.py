"""Trouble with the file while the shim runs: rows wait, nothing acknowledged is lost, and it is said."""

import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import BrakeRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError
from tests.ledger.disk import disk
from tests.ledger.helpers import NOW, blocked, content, ledger, verdict
from tests.waiting import wait_for

FULL, WRITE_ERROR, SYNC_ERROR = 13, 778, 1034
"""SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC."""


def troubled(writer: SqliteLedger) -> str:
    wait_for(lambda: writer.status().problem)
    problem = writer.status().problem
    assert problem is not None
    return problem


def said(caplog: pytest.LogCaptureFixture, text: str, level: int = logging.CRITICAL) -> int:
    return sum(text in r.message and r.levelno == level for r in caplog.records)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(FULL, "full"), (WRITE_ERROR, "disk I/O error"), (SYNC_ERROR, "disk I/O error")],
)
def test_a_disk_that_fails_for_a_while(
    path: Path, caplog: pytest.LogCaptureFixture, error: int, reason: str
) -> None:
    with disk() as watched, ledger(path) as writer:
        writer.append(verdict(0))
        assert writer.flush(30)
        watched.error = error
        for number in range(1, 1500):
            writer.append(verdict(number))
        assert reason in troubled(writer)
        assert not writer.flush(0.3)
        assert writer.status().written == 1
        watched.error = 0
        assert writer.flush(30)
        assert writer.status().problem is None
    assert content(path) == [f"c{number}" for number in range(1500)]
    # One line when it goes wrong, however often it is tried, and one when it is over.
    assert said(caplog, "nothing can be committed") == 1
    assert said(caplog, "rows are committed again", logging.WARNING) == 1


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The system's own limit, in a process of its own: everything below it stays."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from shim.ledger.sqlite.writer import SqliteLedger
        from tests.ledger.helpers import RUN, verdict
        from tests.waiting import wait_for

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ledger = SqliteLedger(Path(sys.argv[1]), RUN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        number = 0
        while ledger.status().problem is None:
            ledger.append(verdict(number))
            number += 1
            ledger.flush(0.05)
        acknowledged = ledger.status().written
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert ledger.flush(30)
        assert ledger.close(30)
        print(acknowledged, number)
    """
    path = tmp_path / "shim.db"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    acknowledged, number = map(int, done.stdout.split())
    assert 10 < acknowledged < number
    assert content(path) == [f"c{n}" for n in range(number)]
    assert done.stderr.count("nothing can be committed") == 1


def test_a_small_disk_that_is_full(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        # The fault itself is tested above, without the privilege that this takes.
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    try:
        path, ballast = tmp_path / "shim.db", tmp_path / "ballast"
        with ledger(path) as writer:
            ballast.write_bytes(bytes(1 << 20))
            number = 0
            while writer.status().problem is None:
                writer.append(verdict(number))
                writer.flush(0.05)
                number += 1
            assert "full" in troubled(writer)
            ballast.unlink()
            assert writer.flush(30)
        assert content(path) == [f"c{n}" for n in range(number)]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_stranger_who_locks_the_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ledger(path) as writer:
        stranger = blocked(path)
        writer.append(verdict(1))
        assert "locked" in troubled(writer)
        stranger.close()
        assert writer.flush(30)
    assert content(path) == ["c1"]
    assert said(caplog, "database is locked") == 1


def deleted(path: Path) -> None:
    path.unlink()


def deleted_with_its_log(path: Path) -> None:
    for name in os.listdir(path.parent):
        if not name.endswith("-lock"):
            (path.parent / name).unlink()


def renamed_rubbish(path: Path) -> None:
    (path.parent / "rubbish").write_bytes(b"rubbish" * 5000)
    os.replace(path.parent / "rubbish", path)


def an_old_copy(path: Path) -> None:
    """An operator restores a backup under the running shim."""
    with ledger(path.parent / "old.db") as older:
        older.append(verdict(555))
    os.replace(path.parent / "old.db", path)


@pytest.mark.parametrize("harm", [deleted, deleted_with_its_log, renamed_rubbish, an_old_copy])
def test_another_file_in_its_place_costs_no_acknowledged_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        for number in range(2000):
            writer.append(verdict(number))
        assert writer.flush(30)
        harm(path)
        for number in range(2000, 2100):
            writer.append(verdict(number))
        assert writer.flush(30)
        assert content(path) == [f"c{number}" for number in range(2100)]
        assert writer.status().problem is None
    kept = list(tmp_path.glob("shim.db.corrupt-*Z"))
    assert bool(kept) == (harm in (renamed_rubbish, an_old_copy))
    assert said(caplog, "was moved, replaced or deleted") == 1
    assert said(caplog, "is begun with all that was committed") == 1
    if harm is renamed_rubbish:
        assert any(found.read_bytes() == b"rubbish" * 5000 for found in kept)
    assert SqliteReader(path).verdicts(VerdictFilter(), limit=1).rows[0].run == 1


def overwrite_all(path: Path) -> None:
    path.write_bytes(b"rubbish" * 5000)


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def overwrite_pages(path: Path) -> None:
    """The header stays, the tables do not: SQLite has to notice."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


@pytest.mark.parametrize("harm", [overwrite_all, truncate, overwrite_pages])
def test_a_file_that_is_damaged_is_kept_and_another_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        writer.append(BrakeRow(True, "false kills", NOW))
        for number in range(3000):
            writer.append(verdict(number))
        assert writer.flush(30)
        checkpointed_by_a_stranger(path)
        harm(path)
        for number in range(3000, 20_000):
            writer.append(verdict(number))
        assert writer.flush(30)
        assert writer.status().problem is None
        kept = content(path)
        # What was not acknowledged when the damage was found is in the new file; the order holds.
        assert kept == [f"c{number}" for number in range(20_000 - len(kept), 20_000)]
        assert kept
        assert content(path, "brake", "reason") == ["false kills"]
        assert content(path, "run", "pid") == [4711]
    assert len(list(tmp_path.glob("shim.db.corrupt-*Z"))) == 1
    assert said(caplog, "is begun with nothing in it") == 1


def checkpointed_by_a_stranger(path: Path) -> None:
    """Everything is in the file itself, so that it can be damaged."""
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    database.close()


def test_a_file_that_is_only_replaced_while_nothing_happens(path: Path) -> None:
    """Then it is found out with the next row, not before; and readers are told plainly."""
    with ledger(path) as writer:
        writer.append(verdict(1))
        assert writer.flush(30)
        path.unlink()
        with pytest.raises(InputError, match="there is no ledger"):
            SqliteReader(path).verdicts(VerdictFilter())
        writer.append(verdict(2))
        assert writer.flush(30)
        page = SqliteReader(path).verdicts(VerdictFilter())
        assert [row.connection for row in page.rows] == ["c2", "c1"]
