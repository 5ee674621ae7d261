"""A store that is restored from a backup, while the processes of the fleet run."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from psycopg import Connection

from shim.fleet.stored_flags import StoredFlags
from shim.ledger.fleet_record import FleetOrder
from shim.ledger.postgres.brake_orders import give_order, last_order
from shim.ledger.postgres.flags_versions import add_version, versions
from shim.ledger.postgres.store_connection import connect
from shim.ledger.stores import fleet_store, read_ledger
from shim.model.ledger_url import LedgerUrl
from shim.settings.flags_file import UNKNOWN_FLAGS
from tests.live.servers import ROLLOUT, ServerProcess, app_client
from tests.postgres.brake_members import Member
from tests.postgres.helpers import eventually, look, process_of
from tests.postgres.server import PostgresServer
from tests.postgres.test_fleet_clients import DELAY_WITHIN, Clients, first_results
from tests.waiting import until

LIVE, SHADOW = (ROLLOUT.replace("STAGE", f'"{stage}"') for stage in ("live", "shadow"))


@contextmanager
def stopped(server: PostgresServer) -> Iterator[Path]:
    """The folder of the data, while nobody uses it."""
    server.stop()
    yield server.data
    server.start()


def back_up(server: PostgresServer) -> None:
    with stopped(server) as data:
        subprocess.run(["cp", "-a", data, data.with_name("backup")], check=True)


def restore(server: PostgresServer) -> None:
    with stopped(server) as data:
        shutil.rmtree(data)
        data.with_name("backup").rename(data)


def judged(store: LedgerUrl) -> list[str]:
    """The users of the verdicts in the store."""
    return [user for (user,) in look(store, 'SELECT "user" FROM verdict ORDER BY "user"')]


def orders(store: LedgerUrl) -> list[FleetOrder]:
    with closing(read_ledger(store)) as reader:
        return reader.orders(9)


def digest(flags: str) -> str:
    return sha256(flags.encode()).hexdigest()[:12]


async def state_of(process: ServerProcess) -> tuple[bool, str]:
    """Whether the brake is engaged, and the first digits of the flags' digest."""
    report = await process.report()
    return report["brake"] is not None, report["flags"]["digest"][:12]


@pytest.mark.real
@pytest.mark.timeout(240)
async def test_what_the_backup_has_not_comes_again(tmp_path: Path) -> None:
    """Verdicts of two runs, an engaged brake, a version of the flags; then a client comes back."""
    with PostgresServer(durable=True) as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with AsyncExitStack() as stack, aiohttp.ClientSession() as http:
            start = partial(process_of, tmp_path, store, rollout="ledger")

            async def silent(process: ServerProcess, user: str) -> None:
                client = await app_client(http, process.url, user, autoping=False)
                await until(lambda: user in judged(store), timeout=60)
                await client.close()

            b = await stack.enter_async_context(start("b"))
            async with start("a") as a:
                fleet_store(store).push_flags(SHADOW, who="ann", reason="begin")
                for process in (a, b):
                    await eventually(partial(state_of, process), ((False, digest(SHADOW)),))
                await silent(a, "before")
                await asyncio.to_thread(back_up, server)
                await silent(a, "first run")
            a = await stack.enter_async_context(start("a"))
            fleet_store(store).push_flags(LIVE, who="ann", reason="go")
            fleet_store(store).order_brake(engaged=True, reason="false kills", who="ann")
            for process in (a, b):
                await eventually(partial(state_of, process), ((True, digest(LIVE)),))
            await silent(a, "second run")

            await asyncio.to_thread(restore, server)
            await until(lambda: judged(store) == ["before", "first run", "second run"], timeout=60)
            await until(lambda: len(orders(store)) == 1, timeout=60)
            await until(
                lambda: getattr(fleet_store(store).pull_flags(), "text", "") == LIVE, timeout=60
            )
            (order,) = orders(store)
            assert (order.engaged, order.reason) == (True, "false kills")
            clients = Clients(http)
            await clients.comes_back("again", a, b)
            found = partial(first_results, store)
            await until(lambda: found().get("again", (None,))[0] is not None, timeout=60)
            result, delay = found()["again"]
            assert result == "returned"
            assert delay == pytest.approx(clients.delays["again"], abs=DELAY_WITHIN)
            for process in (a, b):
                assert await state_of(process) == (True, digest(LIVE))
            assert judged(store) == sorted(["before", "first run", "second run", "again"])


def forget(connection: Connection[Any], table: str, after: int) -> None:
    """What the restoring of a backup does to what came later."""
    connection.execute(f"DELETE FROM {table} WHERE id > %s".encode(), (after,))


@pytest.fixture
def connections(store: LedgerUrl) -> Iterator[tuple[Connection[Any], Connection[Any]]]:
    """Connections before and after a restoring."""
    with closing(connect(store)) as before, closing(connect(store)) as after:
        yield before, after


def test_an_order_that_is_forgotten_is_given_again_once(
    connections: tuple[Connection[Any], Connection[Any]], tmp_path: Path
) -> None:
    before, after = connections
    members = [Member(tmp_path, name) for name in "abc"]
    members[0].brake.engage_brake("kills")
    for member in members:
        member.fleet.attend(before)
    forget(before, "brake_order", 0)
    for member in members[:2]:
        member.fleet.attend(after)
        assert member.brake.reason == "kills"
    order = last_order(after)
    assert order is not None
    assert (order.engaged, order.reason) == (True, "kills")
    give_order(after, engaged=False, reason="mended", process="ann", knowing=order.id)
    # A process that reaches the restored store later, also after a restart, follows the release.
    restarted = Member(tmp_path, "c", left="kills")
    for member in (*members, restarted):
        member.fleet.attend(after)
        assert member.brake.reason is None
    assert len(after.execute("SELECT 1 FROM brake_order").fetchall()) == 2


def test_a_release_that_is_forgotten_is_to_be_given_again(
    connections: tuple[Connection[Any], Connection[Any]], tmp_path: Path
) -> None:
    before, after = connections
    member = Member(tmp_path, "a")
    member.brake.engage_brake("kills")
    member.fleet.attend(before)
    member.brake.release_brake("mended")
    member.fleet.attend(before)
    assert member.brake.reason is None
    forget(before, "brake_order", 1)
    member.fleet.attend(after)
    assert member.brake.reason == "kills"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_newest_version_that_is_known_is_brought_again(
    connections: tuple[Connection[Any], Connection[Any]], tmp_path: Path, order: tuple[int, int]
) -> None:
    """One process did not hear of the last version."""
    before, after = connections
    duties = []
    for number, text in enumerate((SHADOW, LIVE)):
        add_version(before, text, who="ann", reason="go")
        mirror = tmp_path / f"{number}.yaml"
        mirror.write_text(UNKNOWN_FLAGS)
        duties.append(StoredFlags(mirror))
        duties[-1].attend(before)
    forget(before, "flags_version", 0)
    for number in (*order, *order):
        duties[number].attend(after)
    assert [(tmp_path / f"{number}.yaml").read_text() for number in order] == [LIVE, LIVE]
    # Of what somebody pushes then, nobody knows a later version.
    add_version(after, SHADOW, who="bob", reason="back")
    for duty in duties:
        duty.attend(before)
    assert versions(after, 1)[0].who == "bob"
