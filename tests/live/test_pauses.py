"""R3 on real processes: a server that did not run does not blame its clients."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from shim.model import Stage
from tests.live.servers import app_clients, server, server_process

pytestmark = pytest.mark.real
CLIENTS = 100


async def _answer_pings(websocket: aiohttp.ClientWebSocketResponse) -> int | None:
    """What a healthy client does; the answer is the close code, if it was closed."""
    async for _ in websocket:
        pass
    return websocket.close_code


async def _all_alive(clients: list["asyncio.Task[int | None]"]) -> int:
    await asyncio.sleep(2.5)
    return sum(not client.done() for client in clients)


@pytest.mark.parametrize("stage", ["live", "complete"])
async def test_r3_a_stopped_server_closes_no_healthy_client(tmp_path: Path, stage: str) -> None:
    async with server_process(tmp_path, stage) as it, aiohttp.ClientSession() as http:
        sockets = await app_clients(http, it.url, CLIENTS)
        clients = [asyncio.create_task(_answer_pings(websocket)) for websocket in sockets]
        await asyncio.sleep(1)
        it.pause()
        await asyncio.sleep(3)  # twice the timeout
        it.resume()
        assert await _all_alive(clients) == CLIENTS
        report = await it.report()
        assert report["decisions"]["candidate"] == {"acted": 0, "recorded": 0}
        assert report["pauses"]["seconds"] > 2.5
        if stage == "live":
            # What the control would have done is its decision, and only that.
            assert report["decisions"]["control"]["acted"] == 0
            assert report["decisions"]["control"]["recorded"] > 0
            assert report["kinds"]["only_control"] > 0
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_r3_a_blocked_event_loop_closes_no_healthy_client(tmp_path: Path) -> None:
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        sockets = await app_clients(http, it.url, CLIENTS)
        clients = [asyncio.create_task(_answer_pings(websocket)) for websocket in sockets]
        await asyncio.sleep(1)
        time.sleep(3)  # noqa: ASYNC251 - the pause of the loop is what is tested
        assert await _all_alive(clients) == CLIENTS
        assert it.shim.driver.pauses >= 1
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_r3_what_clients_said_to_a_blocked_event_loop_waits_for_the_control(
    tmp_path: Path,
) -> None:
    """All have spoken when the loop goes on; yet the original would have ticked first, and ended them."""
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        sockets = await app_clients(http, it.url, CLIENTS)
        for websocket in sockets:
            await websocket.send_str('{"type": "heartbeat"}')
        asyncio.get_running_loop().call_soon(time.sleep, 6)
        clients = [asyncio.create_task(_answer_pings(websocket)) for websocket in sockets]
        assert await _all_alive(clients) == CLIENTS
        decisions = it.tally.as_dict()["decisions"]
        assert decisions["control"] == {"acted": 0, "recorded": CLIENTS}
        assert decisions["candidate"] == {"acted": 0, "recorded": 0}
        assert it.tally.kinds == {"only_control": CLIENTS}
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
