"""A store that is restored from a backup, while the processes of the fleet run."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from shim.ledger import list_orders, order_brake, pull_flags, push_flags
from shim.settings import LedgerUrl
from tests.live.servers import ROLLOUT, ServerProcess, app_client, until
from tests.postgres.helpers import eventually, look, process_of
from tests.postgres.server import PostgresServer
from tests.postgres.test_fleet_clients import DELAY_WITHIN, Clients, first_results

LIVE, SHADOW = (ROLLOUT.replace("STAGE", f'"{stage}"') for stage in ("live", "shadow"))


@contextmanager
def stopped(server: PostgresServer) -> Iterator[Path]:
    """The folder of the data, while nobody uses it."""
    server.stop()
    yield server.folder / "data"
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
                push_flags(store, SHADOW, who="ann", reason="begin")
                for process in (a, b):
                    await eventually(partial(state_of, process), ((False, digest(SHADOW)),))
                await silent(a, "before")
                await asyncio.to_thread(back_up, server)
                await silent(a, "first run")
            a = await stack.enter_async_context(start("a"))
            push_flags(store, LIVE, who="ann", reason="go")
            order_brake(store, engaged=True, reason="false kills", who="ann")
            for process in (a, b):
                await eventually(partial(state_of, process), ((True, digest(LIVE)),))
            await silent(a, "second run")

            await asyncio.to_thread(restore, server)
            await until(lambda: judged(store) == ["before", "first run", "second run"], timeout=60)
            await until(lambda: len(list_orders(store, 9)) == 1, timeout=60)
            await until(lambda: getattr(pull_flags(store), "text", "") == LIVE, timeout=60)
            (order,) = list_orders(store, 9)
            assert (order.engaged, order.reason) == (True, "false kills")
            clients = Clients(http)
            await clients.comes_back("again", a, b)
            returned = pytest.approx(clients.delays["again"], abs=DELAY_WITHIN)
            found = partial(first_results, store)
            await until(lambda: found().get("again", (None,))[0] is not None, timeout=60)
            assert found()["again"] == ("returned", returned)
            for process in (a, b):
                assert await state_of(process) == (True, digest(LIVE))
            assert judged(store) == sorted(["before", "first run", "second run", "again"])
