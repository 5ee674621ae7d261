"""What a person or a command does with a fleet's store, without any process of the fleet.

Rules: docs/design.md#r22, docs/design.md#r23, docs/design.md#r24, docs/design.md#r25, docs/design.md#r26,
docs/design.md#r27.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection

from shim.ledger.flags_version import FlagsInForce, FlagsVersion, PushedFlags
from shim.ledger.postgres.brake_orders import give_order, last_order
from shim.ledger.postgres.flags_versions import add_version, in_force, versions
from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.process_list import (
    ProcessName,
    Sign,
    enter,
    forget_process,
    give_sign,
    known_offset,
    name_process,
)
from shim.ledger.postgres.shipment import note_run, ship_group
from shim.ledger.postgres.store_connection import connected
from shim.ledger.postgres.store_schema import grant, prepare, read_facts, refuse_others
from shim.ledger.process_record import Pushed
from shim.ledger.rows import RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.outbox import Outbox
from shim.model import SECOND, Duration, InputError
from shim.model.ledger_url import LedgerUrl

_ALIVE_WITHIN: Duration = 300 * SECOND
"""A process that wrote within so long before now is taken to be alive."""

_LONGEST = 10.0
"""Seconds for a question or an order: then the store is taken to be away."""


class FleetStore:
    """The store at a URL. Each method connects anew, and raises InputError if the store cannot be used."""

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url

    def prepare(self, fleet: str | None, *, writers: Iterable[str], readers: Iterable[str]) -> str:
        """Make the store or bring it up to date, and give rights to roles; the fleet's name."""
        with connected(self._url) as connection:
            facts = prepare(connection, fleet, str(self._url))
            for role in writers:
                grant(connection, role, write=True)
            for role in readers:
                grant(connection, role, write=False)
        return facts.fleet

    def check(self, fleet: str) -> None:
        """Try whether a process of this fleet could write to the store, and change nothing."""
        place = str(self._url)
        with connected(self._url) as connection, at_most(_LONGEST, connection):
            refuse_others(read_facts(connection, place), fleet, place)
            with connection.transaction(force_rollback=True):
                connection.execute(
                    "INSERT INTO lease (duty, holder, until) VALUES ('doctor', '', 0)"
                )

    def push_ledger(self, path: Path, *, fleet: str | None, process: str | None) -> Pushed:
        """Bring what is new in a SQLite ledger into the store; its times stay those of its own clock.

        A process that ships by itself keeps its name and its clock offset in the list.
        """
        outbox = Outbox(path)
        runs = outbox.runs()
        name = name_process(process or path.stem)
        rows = 0
        with connected(self._url) as connection:
            facts = prepare(connection, fleet, str(self._url))
            for place, run in enumerate(runs, 1):
                offset = known_offset(connection, run.uuid) or 0
                stored = note_run(connection, run, offset)
                rows -= stored.last_number
                while stored.last_number < run.last_number:
                    stored = ship_group(connection, outbox, run, offset)
                rows += stored.last_number
                self._list(connection, name, run, stored.id, is_last=place == len(runs))
        return Pushed(facts.fleet, len(runs), rows, outbox.unnumbered())

    def _list(
        self,
        connection: Connection[Any],
        name: ProcessName,
        run: RunRow,
        id: int,
        *,
        is_last: bool,
    ) -> None:
        """Enter the run in the list, unless its own process has done so."""
        listed = connection.execute("SELECT name FROM process WHERE run = %s", (id,)).fetchone()
        seen = run.stopped_at or run.seen_at or run.started_at
        if listed is None:
            enter(connection, name, id, [run.uuid], str(self._url))
        elif listed != (name.name,):
            return
        alive = is_last and run.stopped_at is None and seen > wall_clock() - _ALIVE_WITHIN
        give_sign(connection, id, Sign(seen, None, 0, ended=not alive))

    def forget_process(self, name: str, *, who: str, reason: str) -> Wall | None:
        """A process will not come back: its record counts as ended where it ends now; that time (None:
        nothing of it is in the store).

        What the process could have said is unknown until now (R24). If it does come back, it is listed again.
        Raises InputError for a process that is alive, or has ended, or is not on the list.
        """
        with self._opened() as connection:
            return forget_process(connection, name, who=who, reason=reason, place=str(self._url))

    def order_brake(self, *, engaged: bool, reason: str, who: str) -> None:
        """Give an order to the fleet's brake (R25).

        Raises InputError if the brake stands that way already, or was engaged anew meanwhile.
        """
        with self._opened() as connection:
            last = last_order(connection)
            if engaged == (last is not None and last.engaged):
                raise InputError(
                    f"{self._url}: the brake is {'engaged' if engaged else 'released'} already"
                )
            knowing = None if last is None else last.id
            order = give_order(
                connection, engaged=engaged, reason=reason, process=who, knowing=knowing
            )
            if order.engaged != engaged:
                raise InputError(
                    f"{self._url}: the brake was engaged anew by {order.process}: {order.reason}"
                )

    def push_flags(
        self,
        text: str,
        *,
        who: str,
        reason: str,
        before: str | None = None,
        seen: FlagsInForce | None = None,
    ) -> PushedFlags:
        """Bring a valid flags file's text (R26), if the digest `before` is in force, or what was `seen`."""
        with self._opened() as connection:
            return add_version(connection, text, who=who, reason=reason, before=before, seen=seen)

    def look_at_flags(self) -> FlagsInForce | None:
        """What is in force, before a step of the plan; None: there are no flags yet."""
        with self._opened() as connection:
            return in_force(connection)

    def pull_flags(self) -> FlagsVersion | None:
        """The version of the flags in force; None: there is none yet."""
        return next(iter(self.list_flags(1)), None)

    def list_flags(self, limit: int) -> list[FlagsVersion]:
        """The newest versions of the flags, newest first."""
        with self._opened() as connection:
            return versions(connection, limit)

    @contextmanager
    def _opened(self) -> Iterator[Connection[Any]]:
        """A connection to a store that is there and up to date, for something short."""
        with connected(self._url) as connection, at_most(_LONGEST, connection):
            read_facts(connection, str(self._url))
            yield connection
