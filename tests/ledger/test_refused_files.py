"""Files that are no ledger, and folders in which there can be none."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.ledger.protocols import VerdictFilter
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError, VerdictName
from tests.ledger.helpers import RUN, ledger


def make_rubbish(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 500)


def make_stranger(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE recipes (name)")
    database.close()


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_rubbish, "is no ledger: file is not a database"),
        (make_stranger, "is the database of another program"),
        (make_folder, "cannot be used as a ledger"),
    ],
)
def test_what_is_no_ledger_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "shim.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=reason):
        SqliteLedger(path, RUN)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [found.name for found in tmp_path.iterdir()] == ["shim.db"]
    with pytest.raises(InputError):
        SqliteReader(path).verdicts(VerdictFilter())


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(InputError, match=r"x cannot be written: File name too long"):
        SqliteLedger(path, RUN)
    with pytest.raises(InputError, match=r"x cannot be read: File name too long"):
        SqliteReader(path).verdicts(VerdictFilter())


def test_what_was_begun_for_a_start_that_is_refused_is_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "new_tables", lambda: "no SQL")
    with pytest.raises(InputError, match="cannot be used as a ledger"):
        SqliteLedger(tmp_path / "shim.db", RUN)
    (tmp_path / "link.db").symlink_to(tmp_path / "none" / "shim.db")
    with pytest.raises(InputError, match="cannot be used as a ledger"):
        SqliteLedger(tmp_path / "link.db", RUN)
    assert [found.name for found in tmp_path.iterdir()] == ["link.db"]


def test_the_lock_of_an_earlier_run_outlives_a_start_that_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    with ledger(path):
        pass
    make_rubbish(path)
    with pytest.raises(InputError, match="is no ledger"):
        SqliteLedger(path, RUN)
    assert (tmp_path / "shim.db-lock").exists()


def test_a_lock_that_was_withdrawn_meanwhile_keeps_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened it before that takes the one that is there, not the one that is gone."""
    first = file.Lock(path)
    take = file.Lock._take

    def slowly(lock: file.Lock, of: Path) -> None:
        first.withdraw()
        monkeypatch.undo()
        take(lock, of)

    monkeypatch.setattr(file.Lock, "_take", slowly)
    second = file.Lock(path)
    with pytest.raises(InputError, match="is being written"):
        file.Lock(path)
    second.release()


def test_a_folder_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written: No such file or directory"):
        SqliteLedger(tmp_path / "none" / "shim.db", RUN)
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o555)
    user = os.geteuid()
    try:
        if user == 0:  # root may write anywhere
            tmp_path.chmod(0o755)
            os.seteuid(65534)
        with pytest.raises(InputError, match=r"cannot be written: Permission denied"):
            SqliteLedger(folder / "shim.db", RUN)
    finally:
        os.seteuid(user)


def test_no_ledger_and_an_empty_one(path: Path) -> None:
    with pytest.raises(InputError, match="there is no ledger"):
        SqliteReader(path).verdicts(VerdictFilter())
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        SqliteReader(path).verdicts(VerdictFilter())
    with ledger(path):
        assert SqliteReader(path).verdicts(VerdictFilter(verdict=VerdictName.MATCHED)).rows == []
