"""R24 with real processes and clients, which write down what happened to them."""

import asyncio
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from shim.model.ledger_url import LedgerUrl
from tests.live.servers import ServerProcess, app_client
from tests.postgres.helpers import eventually, fleet, look, process_of
from tests.postgres.server import PostgresServer
from tests.waiting import until

pytestmark = pytest.mark.real

DELAY_WITHIN = 0.2
"""Seconds."""


class Clients:
    """Clients that never answer a ping on their first connection, and then come back, or not."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.delays: dict[str, float] = {}

    async def comes_back(self, user: str, to: ServerProcess, *others: ServerProcess) -> None:
        """The client is closed at the first process, and is at all the others in one instant."""
        closed = await self.is_closed(user, to)
        await asyncio.gather(*(app_client(self.http, other.url, user) for other in others))
        self.delays[user] = asyncio.get_running_loop().time() - closed

    async def is_closed(self, user: str, process: ServerProcess) -> float:
        """When the client saw that its connection had been closed."""
        silent = await app_client(self.http, process.url, user, autoping=False)
        while not silent.closed:
            await silent.receive(timeout=60)
        return asyncio.get_running_loop().time()

    async def is_replaced(self, user: str, first: ServerProcess, second: ServerProcess) -> None:
        """The client is at the second process, alive, before the first one notices."""
        closed = asyncio.create_task(self.is_closed(user, first))
        await asyncio.sleep(0)
        await until(lambda: self._is_open(user, first))
        again = await app_client(self.http, second.url, user)
        alive = asyncio.create_task(again.receive())  # answers the pings
        await closed
        alive.cancel()

    async def _is_open(self, user: str, process: ServerProcess) -> bool:
        token = process.secrets["SHIM_OPERATOR_TOKEN"]
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{process.url}/api/connections?user={user}"
        async with self.http.get(url, headers=headers) as answer:
            return bool((await answer.json())["connections"])


def first_results(store: LedgerUrl) -> dict[str, tuple[str | None, float | None]]:
    """What became of each user's first connection that was acted on, with the delay in seconds."""
    return {
        user: (result, None if delay is None else delay / 1e6)
        for user, result, delay in look(
            store,
            'SELECT DISTINCT ON ("user") "user", result, delay FROM action ORDER BY "user", acted_at',
        )
    }


def all_concluded(store: LedgerUrl, users: set[str]) -> bool:
    results = first_results(store)
    return set(results) == users and all(result for result, _ in results.values())


async def returns_of(process: ServerProcess) -> int:
    return int((await process.report())["outcomes"]["candidate"]["returned"])


async def test_the_outcomes_are_what_the_clients_wrote_down(tmp_path: Path) -> None:
    """While clients come back, the store does not answer for some seconds."""
    with PostgresServer() as server:
        store = LedgerUrl(server.url(server.create_database()))
        async with (
            aiohttp.ClientSession() as http,
            fleet(tmp_path, store, "abc") as (a, b, c),
        ):
            clients = Clients(http)
            with server.frozen():
                await asyncio.gather(
                    clients.comes_back("anywhere", a, b),
                    clients.comes_back("same", a, a),
                    clients.comes_back("both", a, b, c),
                    clients.is_replaced("replaced", b, c),
                    clients.is_closed("lost", c),
                )
            users = {"anywhere", "same", "both", "replaced", "lost"}
            await until(partial(all_concluded, store, users), timeout=60)
            results = first_results(store)
            assert {user: result for user, (result, _) in results.items()} == {
                "anywhere": "returned",
                "same": "returned",
                "both": "returned",
                "replaced": "replaced",
                "lost": "lost",
            }
            for user, delay in clients.delays.items():
                assert results[user][1] == pytest.approx(delay, abs=DELAY_WITHIN)
            # The process that acted tells its outcomes, each once: all three returns are a's.
            await eventually(partial(returns_of, a), (3,))
            assert await returns_of(b) == await returns_of(c) == 0


async def test_what_a_killed_process_saw_is_not_known(store: LedgerUrl, tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http, fleet(tmp_path, store, "a") as (a,):
        clients = Clients(http)
        async with process_of(tmp_path, store, "b") as b:
            await asyncio.gather(clients.is_closed("unknown", a), clients.comes_back("back", a, a))
            b.process.kill()
            await b.process.wait()
        async with process_of(tmp_path, store, "b"):
            await until(partial(all_concluded, store, {"unknown", "back"}), timeout=60)
        results = first_results(store)
        assert results["unknown"] == ("censored", None)
        assert results["back"][0] == "returned"
