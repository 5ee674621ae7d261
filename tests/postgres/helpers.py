"""What the tests of the store share: shipping by hand, and a look at what is in the store."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg

from shim.ledger.fleet_record import FleetRecord
from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, read_clock
from shim.ledger.postgres.shipment import note_run, ship_group
from shim.ledger.postgres.store_connection import connect
from shim.ledger.process_record import ProcessState
from shim.ledger.rows import ROWS, Row
from shim.ledger.sqlite.outbox import Outbox
from shim.ledger.stores import read_ledger
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import run
from tests.live.servers import QUICK, ServerProcess, server_process
from tests.waiting import until, wait_for

Store = psycopg.Connection[Any]
FLEET = "tests"
STAGES = {"off": 0, "shadow": 4, "live": 2, "complete": 0}


def ship_all(path: Path, store: LedgerUrl, *, offset: int = 0, most: int = 7) -> None:
    """Ship every run of a SQLite ledger, in groups of `most` rows."""
    outbox = Outbox(path)
    with closing(connect(store)) as connection:
        for run in outbox.runs():
            while ship_group(connection, outbox, run, offset, most).last_number < run.last_number:
                pass
            note_run(connection, run, offset)


def look(store: LedgerUrl, statement: str) -> list[tuple[Any, ...]]:
    """What a stranger's PostgreSQL client finds."""
    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path = shim")
        return connection.execute(statement.encode()).fetchall()


async def until_found(store: LedgerUrl, question: str, answer: list[tuple[Any, ...]]) -> None:
    """Ask the store, over one connection, until this is the answer."""
    with psycopg.connect(store.url, autocommit=True) as connection:
        connection.execute("SET search_path = shim")
        await until(
            lambda: connection.execute(question.encode()).fetchall() == answer, 90, pause=0.1
        )


def fleet_of(store: LedgerUrl) -> FleetRecord:
    """What the store says of its processes."""
    with closing(read_ledger(store)) as reader:
        return reader.fleet()


def change(store: LedgerUrl, statement: str) -> None:
    """What a stranger's PostgreSQL client does to a store."""
    with psycopg.connect(store.url) as connection:
        connection.execute("SET search_path = shim")
        connection.execute(statement.encode())


def lose_lease(store: LedgerUrl, duty: str, work: Callable[[], object]) -> None:
    """Do the work of a process that has the lease, and stands still between its reading and its writing until
    another process has taken the lease."""
    with psycopg.connect(store.url) as other, ThreadPoolExecutor() as pool:
        later = "UPDATE shim.lease SET until = until + 3600000000 WHERE duty = %s"
        assert other.execute(later, (duty,)).rowcount == 1
        other.commit()
        other.execute("UPDATE shim.lease SET holder = 'another' WHERE duty = %s", (duty,))
        working = pool.submit(work)
        waits = (
            f"SELECT pid FROM pg_stat_activity WHERE {other.info.backend_pid} = "
            "ANY (pg_blocking_pids(pid))"
        )
        wait_for(lambda: working.done() or look(store, waits))
        assert not working.done(), "it wrote, and asked for no lease"
        other.commit()
        working.result()


def insert_row(connection: Store, run: int, number: int, row: Row) -> None:
    """Put a row into the store by hand, as one that was shipped."""
    names = ["run", "number", *row.columns()]
    columns = ", ".join(f'"{each}"' for each in names)
    connection.execute(
        f"INSERT INTO {row.TABLE} ({columns}) VALUES ({', '.join(['%s'] * len(names))})".encode(),
        (run, number, *row.values()),
    )


def listed(
    connection: psycopg.Connection[Any],
    name: str,
    *,
    settings: str = "aaaa",
    flags: str | None = "ffff",
    behind: int = 0,
    brake: bool = False,
    ended: bool = False,
    waiting: int = 0,
) -> None:
    """A process is on the list; its record ends `behind` seconds ago."""
    stored = note_run(connection, run(read_clock(connection)), 0)
    enter(connection, ProcessName(name, f"host-{name}"), stored.id, [], "the store")
    until = read_clock(connection) - behind * 1_000_000
    state = ProcessState(settings=settings, flags=flags, connections=STAGES, brake=brake)
    give_sign(connection, stored.id, Sign(until, -700_000, waiting, ended, state))


def empty(store: LedgerUrl) -> None:
    """Delete all rows, and count from 1 again."""
    tables = ", ".join(row.TABLE for row in ROWS)
    change(store, f"TRUNCATE {tables}, process RESTART IDENTITY")


@asynccontextmanager
async def fleet(
    folder: Path, store: LedgerUrl, names: str, stage: str = "live"
) -> AsyncIterator[list[ServerProcess]]:
    async with AsyncExitStack() as stack:
        yield list(
            await asyncio.gather(
                *(
                    stack.enter_async_context(process_of(folder, store, name, stage))
                    for name in names
                )
            )
        )


def process_of(
    folder: Path,
    store: LedgerUrl,
    name: str,
    stage: str = "live",
    settings: str = QUICK,
    **options: Any,
) -> Any:
    """A `shim serve` of the fleet, with a folder of its own."""
    own = folder / name
    own.mkdir(exist_ok=True)
    lines = (
        f"ledger: {json.dumps(store.url)}\noutbox: {own}/outbox.db\nprocess: {name}\nfleet: {FLEET}"
    )
    return server_process(own, stage, settings, ledger=lines, **options)


async def eventually(ask: Callable[[], Awaitable[Any]], wanted: tuple[Any, ...]) -> None:
    """Ask until the answer is one of these."""

    async def is_wanted() -> bool:
        return await ask() in wanted

    await until(is_wanted, pause=0.05)
