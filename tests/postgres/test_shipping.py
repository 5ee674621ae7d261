"""What a process hands over is in the store, once, whatever fails in between (R23)."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shim.ledger.postgres import shipper, store_schema
from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.postgres.shipment import StoredRun, ship_group
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.process_record import FleetPlace
from shim.ledger.rows import BrakeRow, RunRow, VerdictRow
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.outbox import Outbox
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import InputError, Return
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import NOW, S, ledger, run, settled_action, verdict
from tests.postgres.helpers import FLEET, change, look
from tests.postgres.server import PostgresServer
from tests.postgres.shipping_process import connections, process
from tests.waiting import wait_for


def test_rows_are_in_the_store_after_the_end(store: LedgerUrl, tmp_path: Path) -> None:
    with process(store, tmp_path / "a.db") as ledger:
        for number in range(20):
            ledger.append(verdict(number))
        status = ledger.status().store
        assert status is not None
        assert status.problem is None
    assert connections(store) == [f"c{number}" for number in range(20)]
    (record,) = PostgresReaderOnce(store).processes()
    assert (record.name, record.alive, record.waiting) == ("a", False, 0)
    assert look(store, "SELECT count(*) FROM run WHERE stopped_at IS NOT NULL") == [(1,)]


class PostgresReaderOnce:
    """Asks one question."""

    def __init__(self, store: LedgerUrl) -> None:
        self._store = store

    def processes(self) -> list[Any]:
        with closing(PostgresReader(self._store)) as reader:
            return reader.processes(wall_clock())


def test_an_outcome_settles_the_action_that_was_shipped(store: LedgerUrl, tmp_path: Path) -> None:
    pending = settled_action(1, result=None, at=None, delay=None, window_ends=None)
    with process(store, tmp_path / "a.db") as ledger:
        ledger.append(pending)
        wait_for(lambda: look(store, "SELECT result FROM action") == [(None,)])
        ledger.append(settled_action(1))
        ledger.append(settled_action(2))
    found = look(store, "SELECT connection, result, by_percentage FROM action ORDER BY connection")
    assert found == [("c1", Return.RETURNED, True), ("c2", Return.RETURNED, True)]


def test_the_record_is_complete_up_to_a_moment(store: LedgerUrl, tmp_path: Path) -> None:
    with process(store, tmp_path / "a.db") as ledger, closing(PostgresReader(store)) as reader:
        ledger.append(verdict())
        after = wall_clock()

        def complete() -> bool:
            (record,) = reader.processes(wall_clock())
            return record.complete_until is not None and record.complete_until > after

        wait_for(complete)
        assert connections(store) == ["c0"]
        (record,) = reader.processes(wall_clock())
        assert record.alive
        assert record.clock_offset is not None
        assert abs(record.clock_offset) < S


def test_times_are_by_the_clock_of_the_store(
    store: LedgerUrl, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock of this process is an hour behind."""
    hour = 3600 * S

    def wall() -> int:
        return wall_clock() - hour

    began = wall()
    with process(store, tmp_path / "a.db", run(began), wall=wall) as ledger:
        ledger.append(verdict(at=began, last_activity=began - S, control_at=None))
    (found,) = look(store, "SELECT at, last_activity, candidate_at FROM verdict")
    (begun,) = look(store, "SELECT started_at, tolerance FROM run")
    own = verdict(at=began).candidate_at or 0
    for theirs, ours in zip(found, (began, began - S, own), strict=True):
        assert abs(theirs - ours - hour) < S
    assert found[0] - found[1] == S
    assert abs(begun[0] - began - hour) < S
    assert begun[1] == 16 * S
    assert "3600.0 s ahead of" in caplog.text


def test_a_start_without_the_store_serves_at_once(tmp_path: Path) -> None:
    with PostgresServer() as server:
        store = LedgerUrl(server.url(server.create_database()))
        server.stop()
        with process(store, tmp_path / "a.db") as ledger:
            ledger.append(verdict(1))
            assert ledger.flush(10)
            state = ledger.status().store
            assert state is not None
            assert "does not answer" in (state.problem or "")
            server.start()
            wait_for(lambda: ledger.status().store.problem is None)  # type: ignore[union-attr]
        assert connections(store) == ["c1"]


def test_what_an_earlier_run_has_shipped_does_not_wait(store: LedgerUrl, tmp_path: Path) -> None:
    for number in (1, 2):
        with process(store, tmp_path / "a.db") as ledger:
            ledger.append(verdict(number))
    found = PostgresReaderOnce(store).processes()
    assert [(one.alive, one.waiting) for one in found] == [(False, 0)] * 2


def test_what_a_dead_process_left_is_shipped_by_the_next(store: LedgerUrl, tmp_path: Path) -> None:
    """The first process never reaches the store; the second one uses its outbox."""
    outbox = tmp_path / "a.db"
    nowhere = LedgerUrl("postgresql://127.0.0.1:1/nothing")
    with process(nowhere, outbox) as ledger:
        for number in range(5):
            ledger.append(verdict(number))
    with process(store, outbox) as ledger:
        ledger.append(verdict(5))
    assert sorted(connections(store)) == [f"c{number}" for number in range(6)]
    first, second = PostgresReaderOnce(store).processes()
    assert (first.name, second.name) == ("a", "a")
    assert not first.alive
    assert look(store, "SELECT count(DISTINCT run) FROM verdict") == [(2,)]


def test_the_rest_of_a_dead_process_is_shipped_in_the_next_try(
    store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line breaks while the rows of the process before are shipped."""
    outbox = tmp_path / "a.db"
    with ledger(outbox) as writer:
        for number in range(5):
            writer.append(verdict(number))
    broken = iter([False, True])

    def ship(
        connection: psycopg.Connection[Any], rows: Outbox, run: RunRow, offset: int
    ) -> StoredRun:
        if next(broken, False):
            raise psycopg.OperationalError("broken")
        return ship_group(connection, rows, run, offset, most=2)

    monkeypatch.setattr(shipper, "ship_group", ship)
    with process(store, outbox) as shipping:
        wait_for(lambda: len(connections(store)) == 5)
        wait_for(lambda: shipping.status().store.waiting == 0)  # type: ignore[union-attr]
    assert connections(store) == [f"c{number}" for number in range(5)]
    with process(store, outbox):
        pass
    assert len(connections(store)) == 5


def test_a_restart_under_the_same_name(store: LedgerUrl, tmp_path: Path) -> None:
    """The outbox tells that the process before was this one, although the store believes it alive."""
    outbox = tmp_path / "a.db"
    with process(store, outbox) as ledger:
        ledger.append(verdict(1))
    change(store, "UPDATE process SET ended = false, seen_at = seen_at + 60000000")
    with process(store, outbox) as ledger:
        ledger.append(verdict(2))
    assert connections(store) == ["c1", "c2"]


def test_a_name_that_is_used_twice(store: LedgerUrl, tmp_path: Path) -> None:
    with process(store, tmp_path / "a.db"):
        other = tmp_path / "b.db"
        with pytest.raises(InputError, match="another process is called 'a'"):
            FleetLedger(store, run(wall_clock()), FleetPlace(other, "a", FLEET))
        assert not other.exists()
        with process(store, other, name="b"):
            pass


def test_a_name_that_is_no_text(
    store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs before us may have set the variable in another encoding, or the settings an escape."""
    monkeypatch.setenv("SHIM_PROCESS", os.fsdecode(b"caf\xe9"))
    own = run(wall_clock())
    FleetLedger(store, own, FleetPlace(tmp_path / "a.db", None, FLEET)).close(10)
    with process(store, tmp_path / "b.db", name="b\0\ud800") as ledger:
        assert ledger.process == r"b\x00\ud800"
    named = look(store, "SELECT name FROM process ORDER BY run")
    assert named == [(r"caf\udce9",), (r"b\x00\ud800",)]


def test_two_fleets_in_one_database(store: LedgerUrl, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is the store of the fleet 'tests'"):
        FleetLedger(store, run(NOW), FleetPlace(tmp_path / "a.db", None, "others"))
    assert [*tmp_path.iterdir()] == []


def test_a_store_of_a_newer_version(store: LedgerUrl, tmp_path: Path) -> None:
    change(store, "UPDATE store SET version = 1000")
    with pytest.raises(InputError, match="newer shim's store"):
        FleetLedger(store, run(NOW), FleetPlace(tmp_path / "a.db", None, FLEET))
    with closing(PostgresReader(store)) as reader, pytest.raises(InputError, match="newer"):
        reader.brake()


def test_an_older_store_is_brought_up_to_date_once(
    store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first process that writes; a reader says so before."""
    upgrade = "CREATE TABLE another (word TEXT); INSERT INTO another VALUES ('once');"
    newest = store_schema.newest()
    monkeypatch.setattr(store_schema, "UPGRADES", (*store_schema.UPGRADES, upgrade))
    with closing(PostgresReader(store)) as reader:
        with pytest.raises(InputError, match=f"has version {newest} of the store: let a shim"):
            reader.brake()

        def work(name: str) -> None:
            with process(store, tmp_path / f"{name}.db"):
                pass

        with ThreadPoolExecutor(3) as pool:
            assert [*pool.map(work, "abc")] == [None] * 3
        assert reader.brake() is None
    assert look(store, "SELECT word FROM another") == [("once",)]
    assert look(store, "SELECT version FROM store") == [(newest + 1,)]


def test_the_outbox_forgets_what_has_long_been_in_the_store(tmp_path: Path) -> None:
    """Only up to the numbers that are said, only of that run, and never the brake."""
    first, second = run(NOW), run(NOW + S)
    spent: dict[str, int] = {}
    for of in (first, second):
        with ledger(tmp_path / "a.db", of, spent=lambda: spent) as writer:
            writer.append(BrakeRow(True, "why", NOW))
            for number in range(5):
                writer.append(verdict(number))
    spent[first.uuid] = 4
    reader = SqliteReader(tmp_path / "a.db")
    with ledger(tmp_path / "a.db", run(NOW + 2 * S), spent=lambda: spent):
        wait_for(lambda: len(reader.rows(VerdictRow)) == 7)
    assert sorted(row.number or 0 for row in reader.rows(VerdictRow) if row.run == 1) == [5, 6]
    assert len(reader.rows(BrakeRow)) == 2


@pytest.mark.real
def test_who_starts_first_begins_the_store(server: PostgresServer, tmp_path: Path) -> None:
    """Six processes at once, in an empty database: one of them makes the tables."""
    store = LedgerUrl(server.url(server.create_database()))

    def work(name: str) -> None:
        with process(store, tmp_path / f"{name}.db") as ledger:
            ledger.append(verdict(int(name)))

    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(work, "123456")] == [None] * 6
    assert sorted(connections(store)) == [f"c{name}" for name in "123456"]
    assert look(store, "SELECT count(*) FROM store") == [(1,)]
