"""A ledger under a running shim is replaced by another good one; two names of one ledger."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Timer

import pytest

from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import ActionRow, BrakeRow, FlagsRow, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError, Return
from tests.ledger.helpers import (
    NOW,
    RUN,
    S,
    content,
    flags_load,
    ledger,
    run,
    settled_action,
    verdict,
)
from tests.support import skip
from tests.waiting import wait_for

ENGAGED = BrakeRow(True, "false kills", NOW)
NEXT = run(NOW + 1000 * S, pid=2)


def copied(path: Path, to: Path) -> None:
    """A backup as SQLite makes it, from outside the process."""
    source, target = sqlite3.connect(path), sqlite3.connect(to)
    source.backup(target)
    source.close()
    target.close()


def checkpointed(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def before_the_run(backup: Path) -> None:
    """The ledger of this service, as an earlier run left it."""
    with ledger(backup, run(NOW - 1000 * S, pid=1)) as writer:
        for number in range(100):
            writer.append(verdict(number))
        writer.append(BrakeRow(False, "mended", NOW - 500 * S))


def of_another_service(backup: Path) -> None:
    with ledger(backup, run(NOW - 5 * S, pid=77)) as writer:
        writer.append(verdict(5))


def of_another_program(backup: Path) -> None:
    database = sqlite3.connect(backup)
    database.execute("CREATE TABLE recipes (name)")
    database.close()


@pytest.mark.parametrize("checkpoint", [True, False], ids=["checkpointed", "in the log"])
@pytest.mark.parametrize("rows_follow", [True, False], ids=["rows follow", "no row follows"])
@pytest.mark.parametrize("make", [before_the_run, of_another_service, of_another_program])
def test_another_good_file_copied_over_the_ledger(
    tmp_path: Path, make: Callable[[Path], None], rows_follow: bool, checkpoint: bool
) -> None:
    """`cp backup shim.db`: the file keeps its number. The brake outlives it, and the next start."""
    path, backup = tmp_path / "shim.db", tmp_path / "backup.db"
    make(backup)
    original = backup.read_bytes()
    pending, settled = settled_action(1, result=None, at=None, delay=None), settled_action(2)
    with ledger(path) as writer:
        writer.append(flags_load(1))
        for row in (pending, settled_action(2, result=None), settled, ENGAGED):
            writer.append(row)
        assert writer.flush(30)
        if checkpoint:
            checkpointed(path)
        shutil.copyfile(backup, path)
        if rows_follow:
            writer.append(verdict(9))
            assert writer.flush(30)
            assert content(path) == ["c9"]
        else:
            wait_for(lambda: list(tmp_path.glob("shim.db.corrupt-*Z")))
            wait_for(lambda: writer.status().problem is None)
        writer.append(settled_action(1))
        assert writer.flush(30)
        assert content(path, "run", "uuid") == [RUN.uuid]
        reader = SqliteReader(path)
        (outcome,) = reader.rows(ActionRow)
        assert (outcome.connection, outcome.result) == ("c1", Return.RETURNED)
        assert [row.digest for row in reader.rows(FlagsRow)] == ["a"]
    # What was copied there is as it was.
    (aside,) = tmp_path.glob("shim.db.corrupt-*Z")
    assert aside.read_bytes() == original
    with ledger(path, NEXT) as writer:
        assert writer.brake is not None
        assert (writer.brake.engaged, writer.brake.reason) == (True, "false kills")


@pytest.mark.parametrize("way", [shutil.copyfile, os.replace])
def test_an_older_copy_of_the_same_run(tmp_path: Path, way: Callable[[Path, Path], object]) -> None:
    """Restored while the shim runs: by `cp` into the file, or by `mv` in its place."""
    path, backup = tmp_path / "shim.db", tmp_path / "backup.db"
    with ledger(path) as writer:
        for number in range(100):
            writer.append(verdict(number))
        assert writer.flush(30)
        checkpointed(path)
        copied(path, backup)
        for number in range(100, 200):
            writer.append(verdict(number))
        writer.append(ENGAGED)
        assert writer.flush(30)
        checkpointed(path)
        wait_for(lambda: writer._database is not None and writer._database._in_file == 201)
        way(backup, path)
        writer.append(verdict(200))
        assert writer.flush(30)
        numbers = content(path, "verdict", "number")
        assert len(set(numbers)) == len(numbers)  # no number is used again
        assert content(path, "brake", "reason") == ["false kills"]
        if way is os.replace:
            assert content(path) == [f"c{number}" for number in range(201)]
        last = SqliteReader(path).verdicts(VerdictFilter(), limit=1).rows[0]
        assert SqliteReader(path).episode(last.id) is not None
    with ledger(path, NEXT) as writer:
        assert writer.brake is not None
        assert writer.brake.engaged


@pytest.mark.parametrize("companions", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_what_belongs_to_the_file_is_deleted(path: Path, companions: tuple[str, ...]) -> None:
    """What is committed to a log that is gone is seen by nobody, and lost at the next kill."""
    with ledger(path) as writer:
        for number in range(100):
            writer.append(verdict(number))
        assert writer.flush(30)
        for companion in companions:
            Path(f"{path}{companion}").unlink()
        writer.append(verdict(100))
        assert writer.flush(30)
        assert content(path) == [f"c{number}" for number in range(101)]


def vacuumed(path: Path) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("VACUUM")
    checkpointed(path)
    database.close()


def copied_onto_itself(path: Path) -> None:
    path.write_bytes(path.read_bytes())


@pytest.mark.parametrize("harmless", [checkpointed, vacuumed, os.utime, copied_onto_itself])
def test_what_changes_nothing_is_no_replacement(
    tmp_path: Path, harmless: Callable[[Path], None]
) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        for number in range(50):
            writer.append(verdict(number))
            assert writer.flush(30)
            if number % 10 == 5:
                harmless(path)
    assert content(path) == [f"c{number}" for number in range(50)]
    assert not list(tmp_path.glob("shim.db.corrupt-*"))


def test_a_ledger_that_was_removed_before_the_next_row(tmp_path: Path) -> None:
    """The shim has let go of a file in trouble; what is there afterwards is another one."""
    path, other = tmp_path / "shim.db", tmp_path / "other.db"
    of_another_service(other)
    with ledger(path) as writer:
        writer.append(ENGAGED)
        assert writer.flush(30)
        writer._discard()
        shutil.copyfile(other, path)
        Path(f"{path}-wal").unlink(missing_ok=True)
        writer.append(verdict(1))
        assert writer.flush(30)
        assert content(path) == ["c1"]
        assert content(path, "brake", "reason") == ["false kills"]
        assert content(path, "run", "uuid") == [RUN.uuid]


# -- Several names of one ledger -----------------------------------------------------------------------


def by_symbolic_link(path: Path) -> Path:
    link = path.with_name("link.db")
    link.symlink_to(path)
    return link


def by_hard_link(path: Path) -> Path:
    link = path.with_name("hard.db")
    os.link(path, link)
    return link


def by_linked_folder(path: Path) -> Path:
    folder = path.parent / "folder"
    folder.symlink_to(path.parent, target_is_directory=True)
    return folder / path.name


def by_a_way_around(path: Path) -> Path:
    (path.parent / "below").mkdir()
    return path.parent / "below" / ".." / path.name


@pytest.mark.parametrize(
    "name", [by_symbolic_link, by_hard_link, by_linked_folder, by_a_way_around]
)
def test_a_second_writer_by_another_name(path: Path, name: Callable[[Path], Path]) -> None:
    with ledger(path) as writer:
        writer.append(settled_action(1, result=None, at=None, delay=None))
        assert writer.flush(30)
        other = name(path)
        with pytest.raises(InputError, match=r"is being written by .*process"):
            SqliteLedger(other, NEXT)
        done = open_elsewhere(other)
        assert done.returncode == 1
        assert "is being written by" in done.stderr
        writer.append(verdict(2))
        assert writer.flush(30)
        (action,) = SqliteReader(path).rows(ActionRow)
        assert action.result is None
        assert [row.uuid for row in SqliteReader(path).rows(RunRow)] == [RUN.uuid]
    assert open_elsewhere(other).returncode == 0


def open_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys\nfrom pathlib import Path\nfrom shim.ledger.sqlite.writer import SqliteLedger\n"
        "from tests.ledger.helpers import NOW, run\n"
        "SqliteLedger(Path(sys.argv[1]), run(NOW + 5, pid=3)).close(5)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )


def test_a_ledger_behind_a_link_is_replaced_behind_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "data.db", tmp_path / "shim.db"
    with ledger(real):
        pass
    link.symlink_to(real)
    with ledger(link) as writer:
        writer.append(ENGAGED)
        assert writer.flush(30)
        real.write_bytes(b"rubbish" * 1000)
        writer.append(verdict(1))
        assert writer.flush(30)
    assert link.is_symlink()
    assert content(real) == ["c1"]
    assert len(list(tmp_path.glob("data.db.corrupt-*Z"))) == 1


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_the_lock_follows_no_link(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    precious = tmp_path / "precious"
    precious.write_text("my thesis")
    link(tmp_path / "shim.db-lock", precious)
    with pytest.raises(InputError, match=r"shim\.db"):
        SqliteLedger(tmp_path / "shim.db", RUN)
    assert precious.read_text() == "my thesis"
    assert not (tmp_path / "shim.db").exists()


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["shim.db", "shim.db-wal", "shim.db-shm", "shim.db-lock"])
def test_a_pipe_or_a_folder_where_a_file_should_be(
    tmp_path: Path, name: str, kind: Callable[[Path], None]
) -> None:
    """Opening a pipe would wait for ever."""
    kind(tmp_path / name)
    with pytest.raises(InputError, match=r"shim\.db"):
        SqliteLedger(tmp_path / "shim.db", RUN)
    assert (tmp_path / name).exists()
    with pytest.raises(InputError):
        SqliteReader(tmp_path / "shim.db").verdicts(VerdictFilter())


def test_a_backup_that_locks_the_ledger_at_the_start(path: Path) -> None:
    with ledger(path) as writer:
        writer.append(verdict(1))
    stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    stranger.execute("BEGIN EXCLUSIVE")
    done = Timer(4, stranger.rollback)
    done.start()
    with ledger(path) as writer:
        writer.append(verdict(2))
        assert writer.flush(30)
    done.join()
    stranger.close()
    assert content(path) == ["c1", "c2"]


def test_a_ledger_on_a_read_only_medium(tmp_path: Path) -> None:
    """It can be read; a shim that wants to write it says so, and does not start."""
    medium = tmp_path / "medium"
    medium.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(medium)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    try:
        path = medium / "shim.db"
        with ledger(path) as writer:
            writer.append(verdict(1))
        subprocess.run(["mount", "-o", "remount,ro", str(medium)], check=True)
        (row,) = SqliteReader(path).verdicts(VerdictFilter()).rows
        assert row.connection == "c1"
        with pytest.raises(InputError, match="cannot be written: Read-only file system"):
            SqliteLedger(path, NEXT)
    finally:
        subprocess.run(["umount", str(medium)], check=True)


def test_the_check_of_the_file_gives_no_lock_away(path: Path) -> None:
    """A stranger's connection, when it closes, would take the log away as the last one that used it."""
    with ledger(path) as writer:
        for number in range(3):
            writer.append(verdict(number))
            assert writer.flush(30)
            os.utime(path)  # so that the file is looked into before the next row
            script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM run').fetchall()"
            subprocess.run([sys.executable, "-c", script, str(path)], check=True)
            assert Path(f"{path}-wal").exists()
    assert content(path) == ["c0", "c1", "c2"]
