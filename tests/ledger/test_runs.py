"""The runs of a ledger: one writer, numbers of rows, and what a restart and the brake leave."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shim.ledger.rows import ROWS, BrakeRow, RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError, Return
from tests.ledger.helpers import (
    DAY,
    NOW,
    RUN,
    S,
    Wall,
    action,
    blocked,
    content,
    ledger,
    mismatch,
    run,
    verdict,
)
from tests.waiting import wait_for


def test_a_second_process_is_told_who_writes(path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom shim.ledger.sqlite.writer import SqliteLedger\n"
        "from tests.ledger.helpers import RUN\n"
        "ledger = SqliteLedger(Path(sys.argv[1]), RUN)\nprint('ready', flush=True)\n"
        "sys.stdin.read()\nledger.close(5)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(InputError, match=rf"written by process {other.pid}\b"):
            SqliteLedger(path, RUN)
        other.communicate("")
    with ledger(path) as writer:  # it has let go
        writer.append(verdict())
        assert writer.flush(30)


def test_two_ledgers_in_one_process_do_not_share_a_file(tmp_path: Path) -> None:
    with (
        ledger(tmp_path / "shim.db"),
        pytest.raises(InputError, match=f"process {os.getpid()}"),
    ):
        SqliteLedger(tmp_path / "shim.db", RUN)


def test_runs_begin_and_end(path: Path) -> None:
    wall = Wall()
    for number in range(2):
        wall.now = NOW + number * 1000 * S
        with ledger(path, run(wall.now, pid=1), wall=wall) as writer:
            writer.append(verdict(number))
            wall.now += 100 * S
            assert writer.close(30)
    second, first = SqliteReader(path).rows(RunRow)
    assert (first.started_at, first.stopped_at) == (NOW, NOW + 100 * S)
    assert (second.started_at, second.stopped_at) == (NOW + 1000 * S, NOW + 1100 * S)
    assert content(path, "verdict", "run") == [first.id, second.id]


def test_each_row_of_a_run_has_a_number_of_its_own(tmp_path: Path) -> None:
    """Over all tables, without a gap; what is written again gets another one (R23)."""
    path, later = tmp_path / "shim.db", run(NOW + DAY, pid=1)
    with ledger(path) as writer:
        writer.append(verdict(1))
        writer.append(action(1))
        writer.append(verdict(2, at=2**70))  # cannot be stored
        writer.append(action(2))
        writer.append(BrakeRow(True, "false kills", NOW))
        writer.append(action(1, Return.RETURNED, NOW + 2 * S))
        assert writer.flush(30)
    with ledger(path) as writer:  # the same run goes on
        writer.append(verdict(3))
    assert numbers(path, RUN) == {
        1: "verdict",
        3: "action",
        4: "brake",
        5: "action",
        6: "gap",
        7: "verdict",
    }
    with ledger(path, later) as writer:
        writer.append(verdict(4))
    # The outcome that was pending is the last row of the run that left it.
    assert numbers(path, RUN) == {
        1: "verdict",
        4: "brake",
        5: "action",
        6: "gap",
        7: "verdict",
        8: "action",
    }
    assert numbers(path, later) == {1: "verdict"}
    assert [row.last_number for row in SqliteReader(path).rows(RunRow)] == [1, 8]


def numbers(path: Path, of: RunRow) -> dict[int | None, str]:
    """The tables of a run's rows, by their numbers."""
    reader = SqliteReader(path)
    runs = {row.uuid: row.id for row in reader.rows(RunRow)}
    return {
        row.number: kind.TABLE
        for kind in ROWS
        for row in reader.rows(kind)
        if kind is not RunRow and row.run == runs[of.uuid]
    }


def test_a_group_whose_commit_ended_in_an_error_is_not_there_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk failed after the commit: the rows are tried again, and are there already."""
    with ledger(path) as writer:
        database = writer._database
        assert database is not None
        store = database.store

        def store_and_fail(*arguments: Any) -> None:
            store(*arguments)
            raise OSError("disk I/O error")

        monkeypatch.setattr(database, "store", store_and_fail)
        writer.append(verdict(1))
        writer.append(BrakeRow(True, "false kills", NOW))
        assert writer.flush(30)
        writer.append(verdict(2))
        assert writer.flush(30)
    assert content(path) == ["c1", "c2"]
    assert content(path, "brake", "reason") == ["false kills"]
    assert content(path, "run", "last_number") == [3]


def test_outcomes_pending_at_a_restart_become_censored(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger(path) as writer:
        writer.append(action(1))
        writer.append(action(2))
        writer.append(action(1, Return.RETURNED, NOW + 2 * S))
        assert writer.flush(30)
        assert [row.result for row in SqliteReader(path).outcomes()] == [None, Return.RETURNED]
    wall = Wall(NOW + DAY)
    with ledger(path, run(NOW + DAY, pid=1), wall=wall) as writer:
        writer.append(action(2))  # the same id in another run is another connection
        assert writer.flush(30)
        rows = SqliteReader(path).outcomes()
    settled = [(row.run, row.connection, row.result, row.at) for row in rows]
    assert sorted(settled, key=str) == [
        (1, "c1", Return.RETURNED, NOW + 2 * S),
        (1, "c2", Return.CENSORED, NOW + DAY),
        (2, "c2", None, None),
    ]
    assert any("outcomes of 1 timeouts" in record.message for record in caplog.records)


def test_the_brake_is_remembered(path: Path) -> None:
    with ledger(path) as writer:
        assert writer.brake is None
        writer.append(BrakeRow(True, "false kills", NOW))
        assert writer.brake == BrakeRow(True, "false kills", NOW)
    with ledger(path) as writer:
        assert writer.brake is not None
        assert writer.brake.engaged
        writer.append(BrakeRow(False, "looked into", NOW + S))
    brake = SqliteReader(path).brake()
    assert brake is not None
    assert (brake.engaged, brake.reason) == (False, "looked into")


def test_closing_is_bounded_and_tells_what_was_lost(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = SqliteLedger(path, RUN)
    stranger = blocked(path)
    for number in range(10):
        writer.append(mismatch(number))
    assert not writer.flush(0.1)
    assert not writer.close(0.2)
    wait_for(lambda: not writer._thread.is_alive())
    stranger.close()
    assert any("10 rows are lost" in record.message for record in caplog.records)
    writer.append(verdict())  # too late, but harmless
    assert writer.status().dropped == 1
    with ledger(path) as writer:
        assert writer.status().problem is None
