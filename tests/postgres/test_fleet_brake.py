"""R25: one brake for a fleet: orders, the lease, processes that follow. The last tests have real processes."""

import asyncio
from functools import partial
from pathlib import Path

import psycopg
import pytest

from shim.fleet.fleet_memory import FleetMemory
from shim.ledger.postgres.brake_orders import last_order
from shim.ledger.postgres.lease import Lease
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from tests.postgres.brake_members import Member, all_have, brake_of, give, order
from tests.postgres.helpers import Store, change, eventually, fleet, look
from tests.postgres.server import PostgresServer


def test_the_last_order_is_in_force(connection: Store) -> None:
    assert last_order(connection) is None
    first = order(connection, True, "kills")
    assert (first.engaged, first.reason, first.process) == (True, "kills", "p")
    assert last_order(connection) == first
    # What is in force already is not ordered again.
    assert order(connection, True, "another") == first
    released = order(connection, False, knowing=first.id)
    assert released.id > first.id
    assert not released.engaged
    assert order(connection, False) == released


def test_nobody_releases_what_nobody_there_could_know_of(connection: Store) -> None:
    first = order(connection, True)
    for knowing in (None, first.id - 1):
        assert order(connection, False, knowing=knowing) == first


def test_an_order_is_given_once(connection: Store) -> None:
    """It was given before a crash, and is given again after the restart; it was released meanwhile."""
    first = order(connection, True, origin="p 5")
    released = order(connection, False, knowing=first.id)
    assert order(connection, True, origin="p 5") == released
    assert order(connection, True, origin="p 6").engaged


def test_any_text_is_a_reason(connection: Store) -> None:
    assert order(connection, True, "a\0b\ud800").engaged


def test_one_process_has_the_lease(connection: Store, store: LedgerUrl) -> None:
    first, second = Lease("brake", "first"), Lease("brake", "second")
    assert first.hold(connection)
    assert not second.hold(connection)
    assert Lease("another duty", "second").hold(connection)
    assert first.hold(connection)
    # The first one froze, and its lease has ended.
    change(store, "UPDATE lease SET until = until - 5000000 WHERE duty = 'brake'")
    assert second.hold(connection)
    assert not first.hold(connection)
    first.give_up(connection)
    assert not first.hold(connection)
    second.give_up(connection)
    assert first.hold(connection)


def test_all_follow(connection: Store, tmp_path: Path) -> None:
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    a.brake.engage_brake("kills")
    for member in (a, b):
        member.fleet.attend(connection)
    assert b.brake.reason == "kills"
    b.brake.release_brake("mended")
    for member in (b, a):
        member.fleet.attend(connection)
    assert a.brake.reason is None
    # Following is no order: nothing goes to and fro.
    for member in (a, b, a, b):
        member.fleet.attend(connection)
    assert len(connection.execute("SELECT 1 FROM brake_order").fetchall()) == 2


def test_a_brake_engaged_while_the_store_was_away_stays_engaged(
    connection: Store, tmp_path: Path
) -> None:
    """The others were engaged and released meanwhile; that release was about another matter."""
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    b.brake.engage_brake("a matter of b")
    b.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    a.brake.engage_brake("kills")
    a.fleet.attend(connection)
    b.fleet.attend(connection)
    assert (a.brake.reason, b.brake.reason) == ("kills", "kills")


def test_after_a_restart_without_the_store(connection: Store, tmp_path: Path) -> None:
    Member(tmp_path, "a").brake.engage_brake("kills")  # and nobody was told
    again = Member(tmp_path, "a", left="kills")
    again.fleet.attend(connection)
    other = Member(tmp_path, "b")
    other.fleet.attend(connection)
    assert other.brake.reason == "kills"
    other.brake.release_brake("mended")
    other.fleet.attend(connection)
    # The process was down when the brake was released: it follows, and orders nothing.
    last = Member(tmp_path, "a", left="kills")
    last.fleet.attend(connection)
    assert last.brake.reason is None
    assert last_order(connection) is not None
    assert len(connection.execute("SELECT 1 FROM brake_order").fetchall()) == 2


def test_an_order_is_known_again_by_a_process_of_another_name(
    connection: Store, tmp_path: Path
) -> None:
    """A process without a name in the settings gets another one at each start, and its memory is lost."""
    a, b = Member(tmp_path, "a"), Member(tmp_path, "b")
    a.brake.engage_brake("kills")
    for member in (a, b):
        member.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    again = Member(tmp_path, "another", left="kills")
    again.fleet.attend(connection)
    assert again.brake.reason is None


def test_what_could_not_be_written_is_kept_when_there_is_room(
    connection: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The brake was released while the process was down, whose disk was full when it followed the order."""
    folder = tmp_path / "full"
    a, b = Member(folder, "a"), Member(tmp_path, "b")
    b.brake.engage_brake("kills")
    b.fleet.attend(connection)
    for _ in range(3):
        a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    folder.mkdir()
    a.fleet.attend(connection)
    b.brake.release_brake("mended")
    b.fleet.attend(connection)
    again = Member(folder, "a", left="kills")
    again.fleet.attend(connection)
    assert again.brake.reason is None


def _lose_connection(*_: object, **__: object) -> None:
    raise psycopg.OperationalError


def _attend_in_vain(member: Member, connection: Store) -> None:
    with pytest.raises(psycopg.OperationalError):
        member.fleet.attend(connection)


async def test_a_release_needs_the_store(
    connection: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.fleet.fleet_brake._RELEASE_TAKES", 0.05)
    a = Member(tmp_path, "a")
    a.brake.engage_brake("kills")
    a.fleet.attend(connection)
    with pytest.raises(InputError, match="does not answer"):
        await a.fleet.release("mended")
    a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    # The store is asked, and whether it has heard of that is not known.
    with monkeypatch.context() as lost:
        lost.setattr("shim.fleet.fleet_brake.give_order", _lose_connection)
        asyncio.get_running_loop().call_soon(_attend_in_vain, a, connection)
        with pytest.raises(InputError, match="may still release"):
            await a.fleet.release("mended")
    a.fleet.attend(connection)
    assert a.brake.reason == "kills"
    monkeypatch.setattr("shim.fleet.fleet_brake._RELEASE_TAKES", 30)
    asyncio.get_running_loop().call_soon(a.fleet.attend, connection)
    await a.fleet.release("mended")
    assert a.brake.reason is None


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_memory_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    memory = FleetMemory(tmp_path / "x")
    assert memory.recall("brake") is None
    memory.keep("brake", {"id": 1})
    assert FleetMemory(tmp_path / "x").recall("brake") == {"id": 1}


@pytest.mark.real
async def test_three_processes_have_one_brake(store: LedgerUrl, tmp_path: Path) -> None:
    async with fleet(tmp_path, store, "abc") as (a, b, c):
        assert await give(a, True, "by hand") == 200
        await all_have([a, b, c], "by hand")
        assert await give(c, False, "mended") == 200
        await all_have([a, b, c], None)
        assert await give(b, True, "again") == 200
        await all_have([a, b, c], "again")
    # All processes are new ones, and the brake is still engaged.
    async with fleet(tmp_path, store, "abc") as processes:
        await all_have(processes, "again")
    # Engaged, released, engaged; nobody has repeated an order by following it.
    assert len(look(store, "SELECT 1 FROM brake_order")) == 3


@pytest.mark.real
async def test_without_the_store_a_process_keeps_what_it_knew(tmp_path: Path) -> None:
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with fleet(tmp_path, store, "ab") as (a, b):
            assert await give(a, True, "by hand") == 200
            await all_have([a, b], "by hand")
            server.kill()
            assert await give(a, False, "mended") == 503
            assert await brake_of(a) == "by hand"
        async with fleet(tmp_path, store, "ab") as (a, b):
            await all_have([a, b], "by hand")
            server.start()
            # Released as soon as the store answers.
            await eventually(partial(give, a, False, "mended"), (200,))
            await all_have([a, b], None)
