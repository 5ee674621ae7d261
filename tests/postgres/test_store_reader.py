"""The reader of the store: bounded in time and in connections, and at work again after an interruption."""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier

import pytest

from shim.ledger.postgres import store_reader
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.protocols import UnusableError
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.stores import fleet_store
from shim.ledger.time_limit import time_limit
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import ledger, verdict
from tests.postgres.helpers import change, look
from tests.postgres.server import PostgresServer

OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_a_question_ends_after_its_time(reader: PostgresReader, store: LedgerUrl) -> None:
    with time_limit(0.2), pytest.raises(UnusableError, match="takes too long to answer"):
        reader.ask("SELECT pg_sleep(60)")
    # The server does not work on it any more.
    assert look(store, f"SELECT 1 {OURS} AND state = 'active'") == []
    assert reader.ask("SELECT 1") == [(1,)]


def test_nobody_inside_gets_more_time_than_outside(reader: PostgresReader) -> None:
    with time_limit(0.2), time_limit(60), pytest.raises(UnusableError, match="too long to answer"):
        reader.ask("SELECT pg_sleep(60)")


def test_all_parts_of_an_answer_have_the_time_together(reader: PostgresReader) -> None:
    def ask_often() -> None:
        with reader.snapshot() as snapshot:
            for _ in range(1000):
                snapshot.ask("SELECT pg_sleep(0.05)")

    with time_limit(0.3), pytest.raises(UnusableError, match="takes too long to answer"):
        ask_often()


def test_a_question_that_somebody_else_ends(reader: PostgresReader, store: LedgerUrl) -> None:
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(reader.ask, "SELECT pg_sleep(60)")
        while not look(store, f"SELECT pg_cancel_backend(pid) {OURS} AND query LIKE '%sleep%'"):
            pass
        with pytest.raises(UnusableError, match="canceling statement due to user request"):
            asked.result()
    assert reader.ask("SELECT 1") == [(1,)]


def test_all_rows_of_a_table_are_read_a_few_at_a_time(
    reader: PostgresReader, store: LedgerUrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_reader, "_AT_ONCE", 3)
    with ledger(tmp_path / "a.db") as writer:
        for number in range(10):
            writer.append(verdict(number))
    fleet_store(store).push_ledger(tmp_path / "a.db", fleet=None, process=None)
    assert reader.digest() == SqliteReader(tmp_path / "a.db").digest()
    with reader.snapshot() as snapshot:
        # There is neither time nor memory for all of them.
        rows = snapshot.stream("SELECT generate_series(1, 1000000000000)")
        assert [*islice(rows, 7)] == [(number,) for number in range(1, 8)]
    assert reader.ask("SELECT 1") == [(1,)]


def test_a_server_that_is_silent(reader: PostgresReader, server: PostgresServer) -> None:
    assert reader.ask("SELECT 1") == [(1,)]
    with server.frozen(), time_limit(0.1), pytest.raises(UnusableError, match="takes too long"):
        reader.ask("SELECT 1")
    assert reader.ask("SELECT 1") == [(1,)]


def test_a_connection_that_was_cut(reader: PostgresReader, store: LedgerUrl) -> None:
    for _ in range(3):
        with reader.snapshot(), reader.snapshot():
            pass
        assert len(look(store, f"SELECT 1 {OURS}")) == 2
        change(store, f"SELECT pg_terminate_backend(pid, 10000) {OURS}")
        assert reader.ask("SELECT 1") == [(1,)]


def test_many_questions_at_a_time(reader: PostgresReader) -> None:
    together = Barrier(8)

    def count(number: int) -> int:
        with reader.snapshot() as snapshot:
            if number < 8:
                together.wait(30)  # the first ones are all open at one time
            ((open_ones,),) = snapshot.ask(f"SELECT count(*) {OURS}")
        return int(open_ones)

    with ThreadPoolExecutor(40) as threads:
        assert max(threads.map(count, range(40))) < 8
    with ThreadPoolExecutor(1) as other, reader.snapshot():
        assert other.submit(reader.ask, "SELECT 1").result() == [(1,)]


def test_no_place_in_time(reader: PostgresReader) -> None:
    with ThreadPoolExecutor(8) as threads:
        hold, go_on = Barrier(9), Barrier(9)

        def keep() -> None:
            with reader.snapshot():
                hold.wait(30)
                go_on.wait(30)

        kept = [threads.submit(keep) for _ in range(8)]
        hold.wait(30)
        with time_limit(0.01), pytest.raises(UnusableError, match="too many questions"):
            reader.ask("SELECT 1")
        go_on.wait(30)
        for one in kept:
            one.result()
