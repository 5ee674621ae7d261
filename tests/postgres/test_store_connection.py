"""A connection to the store ends by itself when nobody answers any more, and disturbs nothing else."""

import asyncio
import math
import os
import socket
import threading
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from shim.fleet.fleet_link import FleetDuty, FleetLink
from shim.fleet.membership import fleet_membership
from shim.gate.trial import TrialIdentity
from shim.ledger.postgres import line_guard, store_connection
from shim.ledger.postgres.brake_orders import give_order
from shim.ledger.postgres.line_guard import GuardedLine, LineGuard, at_most
from shim.ledger.postgres.store_connection import UnreachableError, connect, store_errors
from shim.ledger.postgres.store_reader import PostgresReader
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import settings_from
from tests.fleet_faults.faulty_line import BreakPoint, FaultyLine
from tests.postgres.brake_members import Brake
from tests.postgres.helpers import Store
from tests.postgres.server import PostgresServer
from tests.waiting import until


async def test_a_line_that_falls_silent_after_the_login(
    server: PostgresServer, store: LedgerUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_connection, "_LONGEST_CHECK", 0.2)
    line = FaultyLine(server.port)
    await line.open()
    line.breaks_at = BreakPoint.AFTER_LOGIN
    url = LedgerUrl(store.url.replace(f":{server.port}/", f":{line.port}/"))
    with pytest.raises(UnreachableError, match="does not answer"):
        await asyncio.to_thread(connect, url)
    assert line.broken == 1
    await line.close()


def test_what_a_silent_process_leaves_behind_ends(connection: Store) -> None:
    """Else its locks would hold up the others for hours."""
    asked = "SELECT current_setting(%s)"
    for name, value in (
        ("idle_in_transaction_session_timeout", "10s"),
        ("tcp_keepalives_idle", "10"),
        ("idle_session_timeout", "5min"),
    ):
        if name != "idle_session_timeout" or connection.info.server_version >= 140_000:
            assert connection.execute(asked, (name,)).fetchone() == (value,)


def test_an_old_server_is_told_nothing_that_it_does_not_know() -> None:
    assert b"idle_session_timeout" not in store_connection._set_session(139_999)
    assert b"idle_session_timeout" in store_connection._set_session(140_000)


def test_a_reader_that_was_not_asked_for_long_connects_anew(
    connection: Store, store: LedgerUrl
) -> None:
    with closing(PostgresReader(store)) as reader:
        assert reader.concluded_until() is None
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert reader.concluded_until() is None


def test_a_transaction_that_was_left_idle_is_no_refusal(store: LedgerUrl) -> None:
    """The process did not run for a while, and goes on with another connection."""
    with pytest.raises(UnreachableError), store_errors(store):
        raise psycopg.errors.IdleInTransactionSessionTimeout("idle")


def ask(connection: Store, times: int) -> None:
    for _ in range(times):
        connection.execute("SELECT 1")


def test_a_silent_server_is_given_up(connection: Store) -> None:
    with pytest.raises(psycopg.OperationalError), at_most(60, connection, silence=0.1):
        connection.execute("SELECT pg_sleep(60)")


def test_a_server_that_answers_on_and_on_is_given_up_at_last(connection: Store) -> None:
    with pytest.raises(psycopg.OperationalError), at_most(0.3, connection, silence=60):
        ask(connection, 1_000_000)


class LongDuty(FleetDuty):
    """Asks the store one question after the other; `done` counts the times it came to the end."""

    questions = 20

    def __init__(self) -> None:
        self.done = 0

    def attend(self, connection: Store) -> None:
        ask(connection, self.questions)
        self.done += 1

    def leave(self, connection: Store) -> None: ...


async def test_a_slow_store_is_not_taken_to_be_away(
    server: PostgresServer, store: LedgerUrl
) -> None:
    """All questions of a round together take longer than a silence may."""
    line = FaultyLine(server.port)
    await line.open()
    line.delay = 0.02
    url = LedgerUrl(store.url.replace(f":{server.port}/", f":{line.port}/"))
    duty = LongDuty()
    link = FleetLink(url, [duty], longest=60, silence=0.5, without="nothing is done")
    link.start()
    await until(lambda: duty.done)
    await asyncio.to_thread(link.stop, 10)
    await line.close()


class LateGuard(LineGuard):
    """Looks at the line when the test says so: what was done with the line is over."""

    line: GuardedLine

    def look_after(self, line: GuardedLine, at: float) -> None:
        self.line = line


def test_a_late_cut_hits_no_other_connection(
    connection: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed meanwhile, and the number of its socket is another one's."""
    guard = LateGuard()
    monkeypatch.setattr(line_guard, "_GUARD", guard)
    with at_most(1, connection):
        number = connection.fileno()
    connection.close()
    near, far = socket.socketpair()
    with near, far:
        if near.fileno() != number:
            os.dup2(near.fileno(), number)
        assert guard.line.look(math.inf) is None
        near.sendall(b"still there")
        assert far.recv(100) == b"still there"
        if near.fileno() != number:
            os.close(number)


class StuckDuty(FleetDuty):
    """Reads for a long time."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def attend(self, connection: Store) -> None:
        self.begun.set()
        self.may_end.wait(30)

    def leave(self, connection: Store) -> None: ...


async def test_who_reads_for_long_follows_at_once(
    connection: Store, store: LedgerUrl, tmp_path: Path
) -> None:
    """The judge of a large record is no later at `shadow` than the others."""
    brake, stuck = Brake(), StuckDuty()
    settings = settings_from(
        {"ledger": store.url, "outbox": str(tmp_path / "a.db")}, monitor_types(plugin_manager())
    )
    with closing(PostgresReader(store)) as reader:
        async with fleet_membership(
            settings,
            brake,
            reader,
            stuck,
            process="a",
            to_wall=lambda at: at,
            identity=lambda: TrialIdentity("m", "c", "f"),
            left=None,
        ):
            await until(stuck.begun.is_set, timeout=30)
            give_order(connection, engaged=True, reason="kills", process="b")
            await until(lambda: brake.reason == "kills", timeout=30)
            assert not stuck.may_end.is_set()
            stuck.may_end.set()
