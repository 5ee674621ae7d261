"""The writer: what was acknowledged is there, in order, synced; and what becomes of everything else."""

import logging
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import ActionRow, BrakeRow, GapRow, ProofRow, Row
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Kind, Role
from tests.ledger.disk import disk
from tests.ledger.helpers import (
    DAY,
    NOW,
    S,
    Wall,
    action,
    any_row,
    blocked,
    content,
    decision,
    ledger,
    mismatch,
    verdict,
)
from tests.waiting import wait_for


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(any_row(), max_size=30))
def test_every_row_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "shim.db"
    with ledger(path) as writer:
        for row in rows:
            writer.append(row)
        assert writer.flush(30)
        reader = SqliteReader(path)
        for kind in {type(row) for row in rows}:
            found = [row.values() for row in reversed(reader.rows(kind))]
            handed = [row.values() for row in rows if type(row) is kind]
            if kind is ActionRow:  # a later one of a connection settles the earlier one
                handed = list(
                    {connection: row for row in handed for connection in row[:1]}.values()
                )
            assert found == handed


def test_rows_are_durable_in_the_order_of_handing_over(path: Path) -> None:
    with ledger(path) as writer:
        for number in range(3000):
            writer.append(verdict(number))
        assert writer.flush(30)
        assert content(path) == [f"c{number}" for number in range(3000)]
        status = writer.status()
    assert (status.written, status.queued, status.dropped, status.problem) == (3000, 0, 0, None)
    assert status.last_commit is not None


def test_what_the_writer_asks_of_sqlite(tmp_path: Path) -> None:
    with ledger(tmp_path / "shim.db") as writer:
        assert writer._database is not None
        ask = writer._database.connection.execute
        pragmas = ("journal_mode", "synchronous", "wal_autocheckpoint", "application_id")
        answers = [ask(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert answers == ["wal", 2, 1000, schema.APPLICATION_ID]  # 2 is FULL


def test_every_group_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    """A killed process would not show a missing sync: the syncs themselves are counted."""
    with disk() as watched, ledger(tmp_path / "shim.db") as writer:
        for number in range(20):
            before = watched.syncs
            writer.append(verdict(number))
            assert writer.flush(30)
            assert watched.syncs > before
        before = watched.syncs
        for number in range(10_000):
            writer.append(verdict(100 + number))
        assert writer.flush(30)
        groups = watched.syncs - before
    # 512 rows share a sync; a writer that is faster than we are makes smaller groups.
    assert 10_000 // 512 < groups < 10_000


def test_readers_see_commits_while_the_shim_writes(path: Path) -> None:
    reader = SqliteReader(path)
    with ledger(path) as writer:

        def feed() -> None:
            for number in range(20_000):
                writer.append(verdict(number))

        feeding = Thread(target=feed)
        feeding.start()
        seen: list[int] = []
        while feeding.is_alive() or writer.status().queued:
            page = reader.verdicts(VerdictFilter(), limit=1)
            seen += [row.id for row in page.rows]
        feeding.join()
        assert seen == sorted(seen)
        assert len(set(seen)) > 1
        assert writer.status().problem is None


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with ledger(tmp_path / "shim.db") as writer:
        writer.append(verdict())
        assert writer.flush(30)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes) == {"shim.db", "shim.db-wal", "shim.db-shm", "shim.db-lock"}
    assert set(modes.values()) == {0o600}


def test_agreements_give_way_first_and_are_counted(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger(path, capacity=100) as writer:
        stranger = blocked(path)
        writer.append(verdict(9999))
        wait_for(lambda: writer.status().problem is not None)
        for number in range(150):
            writer.append(verdict(number))
        for number in range(60):
            writer.append(mismatch(1000 + number))
        stranger.rollback()
        stranger.close()
        assert writer.flush(30)
        writer.append(verdict(7777))
        wait_for(lambda: content(path, "gap", "what"))
        assert writer.flush(30)
        kept = content(path)
    mismatches = [f"c{1000 + number}" for number in range(60)]
    assert [name for name in kept if name in mismatches] == mismatches
    (lost,) = content(path, "gap", "count")
    assert content(path, "gap", "what") == ["matched verdict"]
    assert lost == 152 - (len(kept) - 60)
    assert lost >= 50
    assert writer.status().dropped == lost
    assert any(
        record.levelno >= logging.WARNING and "lost" in record.message for record in caplog.records
    )


def test_mismatches_are_lost_only_when_nothing_else_waits_and_loudly(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger(path, capacity=20) as writer:
        stranger = blocked(path)
        writer.append(verdict(9999))
        wait_for(lambda: writer.status().problem is not None)
        for number in range(30):
            writer.append(decision(number))
            writer.append(mismatch(number))
        assert any(
            record.levelno == logging.CRITICAL and "mismatched verdict" in record.message
            for record in caplog.records
        )
        stranger.rollback()
        stranger.close()
        assert writer.flush(30)
        kept = len(content(path)) - 1
        writer.append(mismatch(100))
        wait_for(lambda: content(path, "gap", "what"))
    gaps = dict(zip(content(path, "gap", "what"), content(path, "gap", "count"), strict=True))
    assert kept >= 20
    assert gaps == {"decision": 30, "mismatched verdict": 30 - kept}
    (since, until) = content(path, "gap", "since")[0], content(path, "gap", "at")[0]
    assert since <= until


def test_a_row_that_cannot_be_stored_keeps_no_other_out(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger(path) as writer:
        writer.append(verdict(1))
        writer.append(verdict(2, at=2**70))
        writer.append(verdict(3, at=-(2**70)))
        writer.append(verdict(4))
        assert writer.flush(30)
        assert content(path) == ["c1", "c4"]
        assert writer.status().dropped == 2
        writer.append(verdict(5))
        assert writer.flush(30)
    assert content(path, "gap", "count") == [2]
    assert sum("cannot be stored" in record.message for record in caplog.records) == 2


def test_text_that_is_no_valid_utf_8_is_kept_and_found_again(path: Path) -> None:
    user, package = "Zo\u00eb\ud800", "com.example.\udcff"
    with ledger(path) as writer:
        writer.append(verdict(1, user=user, package=package))
        writer.append(verdict(2, user="Zo\u00eb"))
        writer.append(BrakeRow(True, "because of \ud800", NOW))
        assert writer.flush(30)
        assert writer.status().dropped == 0
        reader = SqliteReader(path)
        (row,) = reader.verdicts(VerdictFilter(user=user, package=package)).rows
        assert (row.user, row.package) == ("Zo\u00eb\\ud800", "com.example.\\udcff")
        assert reader.verdicts(VerdictFilter(user=row.user)).rows == [row]
        assert (brake := reader.brake()) is not None
        assert brake.reason == "because of \\ud800"


def test_old_rows_are_deleted_but_never_the_brake(path: Path) -> None:
    with ledger(path) as writer:
        for number in range(1000):
            writer.append(verdict(number))
        for number in (0, 999):
            writer.append(
                ProofRow(
                    connection=f"c{number}",
                    connection_kind=Kind.APP,
                    user="u",
                    session="s",
                    package=None,
                    role=Role.CONTROL,
                    at=NOW + number * S,
                )
            )
        writer.append(action(0))
        writer.append(BrakeRow(True, "false kills", NOW))
        writer.append(GapRow(NOW, NOW, "decision", 3))
    wall = Wall(NOW + 30 * DAY + 900 * S)
    with ledger(path, keep=30 * DAY, wall=wall):
        wait_for(lambda: len(content(path)) == 100)
        wait_for(lambda: not content(path, "action"))
    assert content(path) == [f"c{number}" for number in range(900, 1000)]
    assert content(path, "proof") == ["c999"]
    assert content(path, "brake", "reason") == ["false kills"]
    assert content(path, "gap", "what") == ["decision"]
