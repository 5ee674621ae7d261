"""What the command `shim ledger` does with a store: bring the ledger of one process into it, and prepare it.

Rules: docs/design.md#r23.
"""

import socket
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from psycopg import Connection

from shim.ledger.postgres.process_list import ProcessName, Sign, enter, give_sign, known_offset
from shim.ledger.postgres.shipment import StoredRun, note_run, ship_group
from shim.ledger.postgres.store_connection import connect, store_errors
from shim.ledger.postgres.store_schema import grant, prepare, read_facts, refuse_others
from shim.ledger.process_record import Pushed
from shim.ledger.rows import RunRow
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.outbox import Outbox
from shim.model import SECOND, Duration
from shim.model.ledger_url import LedgerUrl

_ALIVE_WITHIN: Duration = 300 * SECOND
"""A process that wrote within so long before now is taken to be alive."""


def push_ledger(path: Path, url: LedgerUrl, *, fleet: str | None, process: str | None) -> Pushed:
    """Bring what is new in a SQLite ledger into the store; its times stay those of its own clock.

    A process that ships by itself keeps its name and its clock offset in the list. Raises InputError.
    """
    outbox = Outbox(path)
    runs = outbox.runs()
    name = ProcessName(process or path.stem, socket.gethostname())
    rows = 0
    with closing(connect(url)) as connection, store_errors(url):
        facts = prepare(connection, fleet, str(url))
        for place, run in enumerate(runs, 1):
            offset = known_offset(connection, run.uuid) or 0
            before = note_run(connection, run, offset)
            after = _ship(connection, outbox, run, before, offset)
            rows += after.last_number - before.last_number
            _list(connection, name, run, after.id, place == len(runs), str(url))
    return Pushed(facts.fleet, len(runs), rows, outbox.unnumbered())


def prepare_store(
    url: LedgerUrl, fleet: str | None, *, writers: Iterable[str], readers: Iterable[str]
) -> str:
    """Make the tables or bring them up to date, and give rights; the fleet's name. Raises InputError."""
    with closing(connect(url)) as connection, store_errors(url):
        facts = prepare(connection, fleet, str(url))
        for role in writers:
            grant(connection, role, write=True)
        for role in readers:
            grant(connection, role, write=False)
    return facts.fleet


def check_store(url: LedgerUrl, fleet: str) -> None:
    """Try whether a process of this fleet could write to its store, and change nothing. Raises InputError."""
    with closing(connect(url)) as connection, store_errors(url):
        refuse_others(read_facts(connection, str(url)), fleet, str(url))
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO lease (duty, holder, until) VALUES ('doctor', '', 0)")


def _ship(
    connection: Connection[Any], outbox: Outbox, run: RunRow, stored: StoredRun, offset: Duration
) -> StoredRun:
    while stored.last_number < run.last_number:
        stored = ship_group(connection, outbox, run, offset)
    return stored


def _list(
    connection: Connection[Any], name: ProcessName, run: RunRow, id: int, last: bool, place: str
) -> None:
    """Enter the run in the list, unless its own process has done so."""
    listed = connection.execute("SELECT name FROM process WHERE run = %s", (id,)).fetchone()
    seen = run.stopped_at or run.seen_at or run.started_at
    if listed is None:
        enter(connection, name, id, [run.uuid], place)
    elif listed != (name.name,):
        return
    alive = last and run.stopped_at is None and seen > wall_clock() - _ALIVE_WITHIN
    give_sign(connection, id, Sign(seen, None, 0, ended=not alive))
