"""The writer: what was acknowledged is there, in order, synced; and what becomes of everything else."""

import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shim.ledger.gate_evidence import read_trials
from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import ROWS, ActionRow, BrakeRow, GapRow, ProofRow, Row, RunRow, storable
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError, Kind, Return, Role, VerdictName
from tests.ledger.disk import disk
from tests.ledger.helpers import (
    DAY,
    NOW,
    RUN,
    S,
    Wall,
    any_row,
    blocked,
    content,
    decision,
    flags_load,
    ledger,
    mismatch,
    run,
    settled_action,
    verdict,
)
from tests.waiting import wait_for


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


# -- What is there ---------------------------------------------------------------------------------


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


def test_rows_are_durable_in_the_order_of_handing_over(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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


def test_readers_see_commits_while_the_shim_writes(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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


# -- Room --------------------------------------------------------------------------------------------


def test_agreements_give_way_first_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shim.db"
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
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shim.db"
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
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shim.db"
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


def test_text_that_is_no_valid_utf_8_is_kept_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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


# -- Runs ----------------------------------------------------------------------------------------------


def test_a_second_process_is_told_who_writes(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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


def test_runs_begin_and_end(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk failed after the commit: the rows are tried again, and are there already."""
    path = tmp_path / "shim.db"
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
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shim.db"
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


def test_the_brake_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shim.db"
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


# -- Old rows, old files -------------------------------------------------------------------------------


def test_old_rows_are_deleted_but_never_the_brake(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
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


OLD_SCHEMAS = {
    1: Path(__file__).with_name("first_schema.sql"),
    2: Path(__file__).with_name("second_schema.sql"),
    3: Path(__file__).with_name("third_schema.sql"),
}
BEFORE_TRIALS = (1, 2)


def begin_old_schema(path: Path, version: int) -> None:
    """A file as an older shim began it, with a run, a verdict, an action, a flags file and a brake."""
    database = sqlite3.connect(path, isolation_level=None)
    database.executescript(
        f"{OLD_SCHEMAS[version].read_text()}PRAGMA application_id = {schema.APPLICATION_ID};"
        f"PRAGMA user_version = {version};"
    )
    for row in (RUN, verdict(1), settled_action(1), flags_load(1), BrakeRow(False, "mended", NOW)):
        known = {name for _, name, *_ in database.execute(f"PRAGMA table_info({row.TABLE})")}
        values = dict(zip(row.columns(), storable(row.values()), strict=True))
        if row is not RUN:
            values["run"] = 1
        values = {name: value for name, value in values.items() if name in known}
        marks = ", ".join("?" * len(values))
        database.execute(
            f"INSERT INTO {row.TABLE} ({', '.join(values)}) VALUES ({marks})", [*values.values()]
        )
    database.close()


def tables(path: Path) -> dict[str, list[str]]:
    """What the tables and indexes of a file are made of: an upgrade adds columns at the end."""
    database = sqlite3.connect(path)
    found = dict(database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"))
    database.close()
    return {name: sorted(split_statement(statement)) for name, statement in found.items()}


def split_statement(statement: str) -> Iterator[str]:
    """The parts of a statement between its outer commas, without comments."""
    text = re.sub(r"\s*([(),])\s*", r"\1", re.sub(r"\s+", " ", re.sub(r"--.*", "", statement)))
    part, depth = "", 0
    head, _, content = text.removesuffix(")").partition("(")
    yield head
    for character in content:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            yield part
            part = ""
        else:
            part += character
    yield part


def test_an_older_file_is_migrated_and_a_newer_one_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        writer.append(verdict(1))
    older = schema.UPGRADES
    newer = (*older, "ALTER TABLE late ADD COLUMN note TEXT; CREATE TABLE extra (id INTEGER);")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "UPGRADES", newer)
        with pytest.raises(InputError, match="let a shim of this version write to it once"):
            SqliteReader(path).verdicts(VerdictFilter())
        with ledger(path) as writer:
            writer.append(verdict(2))
        assert content(path) == ["c1", "c2"]
        assert content(path, "late", "note") == []
    with pytest.raises(InputError, match=r"newer shim \(schema 5, this one knows 4\)"):
        SqliteLedger(path, RUN)
    with pytest.raises(InputError, match="newer shim"):
        SqliteReader(path).verdicts(VerdictFilter())
    assert content(path) == ["c1", "c2"]


@pytest.mark.parametrize("version", BEFORE_TRIALS)
def test_a_file_of_an_older_schema_answers_all_that_the_gate_asks(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "shim.db"
    begin_old_schema(path, version)
    with pytest.raises(InputError, match="let a shim of this version write to it once"):
        SqliteReader(path).verdicts(VerdictFilter())
    with ledger(path) as writer:
        writer.append(verdict(2))
    reader, ever = SqliteReader(path), (0, 1 << 62)
    assert len(reader.agreement_rows(Kind.APP, (1, 2), *ever)) == 2
    # An action in the first two schemas has no end of its window.
    assert len(reader.settled_actions(Kind.APP, (1, 2), *ever, acted_from=0)) == (version > 2)
    assert [row.placed_by for row in reader.verdicts(VerdictFilter()).rows] == [None, None]
    assert not reader.other_episodes(Kind.APP, (1, 2), *ever).any
    assert reader.rows(BrakeRow)[0].by_itself is None


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_a_run_of_an_older_file_gets_an_id_that_no_other_run_has(
    tmp_path: Path, version: int
) -> None:
    ids = set()
    for name in ("one.db", "another.db"):
        begin_old_schema(tmp_path / name, version)
        with ledger(tmp_path / name) as writer:
            writer.append(verdict(2))
        reader = SqliteReader(tmp_path / name)
        new, old = reader.rows(RunRow)
        assert new.uuid == RUN.uuid
        assert re.fullmatch("[0-9a-f]{32}", old.uuid)
        assert (old.started_at, old.pid, old.last_number) == (RUN.started_at, RUN.pid, 0)
        ids.add(old.uuid)
        rows = reader.verdicts(VerdictFilter()).rows
        assert [(row.run, row.connection, row.number) for row in rows] == [
            (new.id, "c2", 1),
            (old.id, "c1", None),
        ]
        database = sqlite3.connect(tmp_path / name, isolation_level=None)
        with pytest.raises(sqlite3.IntegrityError, match=r"run\.uuid"):
            database.execute("UPDATE run SET uuid = ?", (old.uuid,))
        database.close()
    assert len(ids) == 2


@pytest.mark.parametrize("version", BEFORE_TRIALS)
def test_what_an_older_shim_saw_counts_for_no_trial(tmp_path: Path, version: int) -> None:
    """Its runs do not say which monitors and which settings they are about (R16)."""
    path = tmp_path / "shim.db"
    begin_old_schema(path, version)
    now = NOW + DAY
    with ledger(path, run(now, monitors="monitors", comparison="comparison")) as writer:
        writer.append(verdict(2 + DAY // S))
        assert writer.flush(30)
        reader = SqliteReader(path)
        (trial,) = read_trials(reader, now, reader.last_seen(now), [], []).trials
    assert (trial.since, trial.began_by) == (now, "start")
    assert [span.run for span in trial.spans] == [2]


@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_a_new_file_has_the_tables_of_an_older_one_that_was_migrated(
    tmp_path: Path, version: int
) -> None:
    """Who adds a field to a row adds an upgrade for the files that are there."""
    begin_old_schema(tmp_path / "older.db", version)
    for name in ("new.db", "older.db"):
        with ledger(tmp_path / name):
            pass
    assert tables(tmp_path / "new.db") == tables(tmp_path / "older.db")


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shim.db"
    with ledger(path) as writer:
        writer.append(verdict(1))
    broken = (*schema.UPGRADES, "CREATE TABLE extra (id INTEGER); CREATE TABLE verdict (id);")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "UPGRADES", broken)
        with pytest.raises(InputError, match="already exists"):
            SqliteLedger(path, RUN)
    with ledger(path) as writer:
        writer.append(verdict(2))
    assert content(path) == ["c1", "c2"]


# -- Files that are no ledger --------------------------------------------------------------------------


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opened it before that takes the one that is there, not the one that is gone."""
    path = tmp_path / "shim.db"
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


def test_no_ledger_and_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    with pytest.raises(InputError, match="there is no ledger"):
        SqliteReader(path).verdicts(VerdictFilter())
    path.touch()
    with pytest.raises(InputError, match="is empty"):
        SqliteReader(path).verdicts(VerdictFilter())
    with ledger(path):
        assert SqliteReader(path).verdicts(VerdictFilter(verdict=VerdictName.MATCHED)).rows == []
