"""The store of a fleet: verdicts a second from eight processes, from the call on the event loop until they
are in PostgreSQL; and the gate's answer from there.

The server is the one of the tests: Debian's or a wheel's, on this machine, with its usual durability.
"""

import multiprocessing
import tempfile
from contextlib import closing
from multiprocessing.synchronize import Event
from pathlib import Path
from time import perf_counter, sleep

import psycopg

from benchmarks.gate import SPAN, USERS, ask, fill
from shim.demo.local_postgres import find_programs
from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.postgres.store_reader import PostgresReader
from shim.ledger.process_record import FleetPlace
from shim.ledger.run_row import begin_run, wall_clock
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from
from tests.postgres.server import PostgresServer

PROCESSES = 8


def run(verdicts: int) -> None:
    """So many verdicts of all processes together, with an outcome for one in ten."""
    try:
        find_programs()
    except InputError as error:
        print(f"store: {error}")
        return
    with tempfile.TemporaryDirectory() as folder, PostgresServer(durable=True) as server:
        url = LedgerUrl(server.url(server.create_database()))
        start, now = multiprocessing.Event(), wall_clock()
        share = verdicts // PROCESSES
        workers = [
            multiprocessing.Process(target=_work, args=(url.url, folder, place, share, now, start))
            for place in range(PROCESSES)
        ]
        for worker in workers:
            worker.start()
        _wait_for(url, "SELECT count(*) FROM shim.process", PROCESSES)
        began = perf_counter()
        start.set()
        _wait_for(url, "SELECT count(*) FROM shim.verdict", share * PROCESSES)
        taken = perf_counter() - began
        for worker in workers:
            worker.join()
        print(
            f"store: {share * PROCESSES / taken:,.0f} verdicts/s from {PROCESSES} processes into PostgreSQL "
            "(goal: at least 20,000)"
        )
        with closing(PostgresReader(url)) as reader:
            timed = ask(reader, url.url, now)
        print(f"store: {share * PROCESSES:,} verdicts of {USERS:,} users: {timed}")


def _work(url: str, folder: str, place: int, verdicts: int, now: int, start: Event) -> None:
    """One process: it waits for the start, and hands its rows over as fast as its outbox takes them."""
    settings = settings_from({}, monitor_types(plugin_manager()))
    ledger = FleetLedger(
        LedgerUrl(url),
        begin_run(settings, now - SPAN),
        FleetPlace(Path(folder) / f"{place}.db", str(place), "benchmark"),
    )
    start.wait()
    fill(ledger, verdicts, now - SPAN)
    assert ledger.close(600)


def _wait_for(url: LedgerUrl, question: str, answer: int) -> None:
    with psycopg.connect(url.url, autocommit=True) as connection:
        while True:
            try:
                if connection.execute(question.encode()).fetchone() == (answer,):
                    return
            except psycopg.errors.UndefinedTable:
                pass
            sleep(0.1)


if __name__ == "__main__":
    run(1_000_000)
