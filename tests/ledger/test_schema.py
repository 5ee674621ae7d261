"""Files of older schemas, which are migrated, and a newer one, which is refused."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.ledger.gate_evidence import read_trials
from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import BrakeRow, RunRow, storable
from shim.ledger.sqlite import schema
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import InputError, Kind
from tests.ledger.helpers import (
    DAY,
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
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger(path) as writer:
        writer.append(verdict(1))
    older = schema.UPGRADES
    newer = (*older, "ALTER TABLE late ADD COLUMN note TEXT; CREATE TABLE extra (id INTEGER);")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "UPGRADES", newer)
        before = path.read_bytes()
        assert [row.connection for row in SqliteReader(path).verdicts(VerdictFilter()).rows] == [
            "c1"
        ]
        assert path.read_bytes() == before
        with ledger(path) as writer:
            writer.append(verdict(2))
        assert content(path) == ["c1", "c2"]
        assert content(path, "late", "note") == []
    with pytest.raises(InputError, match=r"newer shim \(schema 5, this one knows 4\)"):
        SqliteLedger(path, RUN)
    with pytest.raises(InputError, match="newer shim"):
        SqliteReader(path).verdicts(VerdictFilter())
    assert content(path) == ["c1", "c2"]


@pytest.mark.parametrize("is_migrated", [False, True])
@pytest.mark.parametrize("version", OLD_SCHEMAS)
def test_a_file_of_an_older_schema_answers_all_that_the_gate_asks(
    path: Path, version: int, is_migrated: bool
) -> None:
    begin_old_schema(path, version)
    if is_migrated:
        with ledger(path):
            pass
    before, reader, ever = path.read_bytes(), SqliteReader(path), (0, 1 << 62)
    assert len(reader.agreement_rows(Kind.APP, (1, 2), *ever)) == 1
    # An action in the first two schemas has no end of its window.
    assert len(reader.settled_actions(Kind.APP, (1, 2), *ever, acted_from=0)) == (version > 2)
    (row,) = reader.verdicts(VerdictFilter()).rows
    assert row.placed_by == (None if version in BEFORE_TRIALS else verdict(1).placed_by)
    assert not reader.other_episodes(Kind.APP, (1, 2), *ever)
    assert reader.rows(BrakeRow)[0].by_itself is None
    assert path.read_bytes() == before


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
def test_what_an_older_shim_saw_counts_for_no_trial(path: Path, version: int) -> None:
    """Its runs do not say which monitors and which settings they are about (R16)."""
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
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
