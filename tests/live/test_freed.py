"""A connection that has ended is freed at once: nothing waits for Python's collector."""

import gc
from collections.abc import AsyncIterator, Iterator, Sized
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from shim.aio import WebSocket
from shim.aio.aiohttp_connection import AiohttpConnection
from shim.aio.frame_queue import FrameQueue
from shim.asgi import WebSocketProtocol
from shim.asgi.asgi_connection import AsgiConnection
from shim.model import Stage
from shim.router import Tracked
from shim.simulate.link import SimulatedConnection
from shim.websockets.websockets_connection import WebsocketsConnection
from shim_legacy_global.global_monitor import _Watch as LegacyWatch
from shim_per_session.session_monitor import PerSessionMonitor, Watch
from tests.asgi.test_asgi import service as asgi_service
from tests.live.aiohttp_service import service as aiohttp_service
from tests.live.test_peers import handshake
from tests.live.test_websockets import service as websockets_service
from tests.simulate.helpers import records, scenario
from tests.waiting import until

RECORDS = (Tracked, Watch, LegacyWatch, PerSessionMonitor)
AIOHTTP = (WebSocket, FrameQueue, AiohttpConnection)
SILENT = [("silence", Stage.SHADOW), ("silence", Stage.LIVE)]
"""Closed by the control, and by the candidate."""


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    gc.collect()
    # `alive` does not see what there is already, and need not look through that again and again.
    gc.freeze()
    gc.disable()
    yield
    gc.enable()


def alive(*types: type) -> list[Any]:
    return [thing for thing in gc.get_objects() if type(thing) in (*types, *RECORDS)]


async def until_freed(*types: type) -> None:
    """Wait until none of these things is alive that the test made. To look for them takes long."""
    await until(lambda: not alive(*types), pause=0.25)


@asynccontextmanager
async def drained(shim: Any, urls: list[str], closings: Sized) -> AsyncIterator[None]:
    """Clients that the service sends away."""
    async with AsyncExitStack() as stack:
        for url in urls:
            await stack.enter_async_context(connect(url))
        await until(lambda: shim.census.open() == len(urls))
        await shim.drain()
        await until(lambda: len(closings) == len(urls))
        yield


@pytest.mark.real
@pytest.mark.parametrize(
    ("ends", "stage"),
    [*((ends, Stage.LIVE) for ends in ("client", "handler", "abort")), *SILENT],
)
async def test_a_connection_of_aiohttp(tmp_path: Path, ends: str, stage: Stage) -> None:

    async def handler(it: Any, websocket: WebSocket, live: Any) -> None:
        it.told.append(live.connection.id)
        if ends == "abort":
            live.abort()
        if ends != "handler":
            async for message in live:
                it.told.append(message.data)

    async with (
        aiohttp_service(tmp_path, handler, stage=stage) as it,
        aiohttp.ClientSession() as http,
    ):
        for number in range(3):
            if ends == "silence":
                async with handshake(it.url, "/"):
                    await until(lambda number=number: len(it.closings.all) == number + 1)
            else:
                client = await http.ws_connect(it.url)
                await client.close()
            it.websockets.clear()
        await until(lambda: len(it.closings.all) == 3)
        # The driver remembers the socket until the time for the closing handshake is up.
        await until_freed(*AIOHTTP)


async def read_all(it: Any, websocket: WebSocket, live: Any) -> None:
    async for _ in live:
        pass


@pytest.mark.real
async def test_a_drained_connection_of_aiohttp(tmp_path: Path) -> None:
    async with aiohttp_service(tmp_path, read_all, stage=Stage.LIVE) as it:
        async with drained(it.shim, [it.url.replace("http", "ws")], it.closings.all):
            it.websockets.clear()
        await until_freed(*AIOHTTP)


@pytest.mark.real
@pytest.mark.parametrize(("ends", "stage"), [("handshake", Stage.LIVE), *SILENT])
async def test_a_connection_of_websockets(tmp_path: Path, ends: str, stage: Stage) -> None:
    async with websockets_service(tmp_path, stage) as it:
        for number, message in enumerate(("bye", "fail", "hello")):
            if ends == "silence":
                async with handshake(it.url.replace("ws://", "http://").rstrip("/"), "/u"):
                    await until(lambda number=number: len(it.told.closings) == number + 1)
                continue
            async with connect(f"{it.url}u") as client:
                await client.send(message)
                if message == "hello":
                    await client.recv()
                else:
                    await client.wait_closed()
        await until(lambda: len(it.told.closings) == 3)
        await until_freed(WebsocketsConnection)


@pytest.mark.real
async def test_a_drained_connection_of_websockets(tmp_path: Path) -> None:
    async with websockets_service(tmp_path, Stage.LIVE) as it:
        async with drained(it.shim, [f"{it.url}{n}" for n in range(3)], it.told.closings):
            pass
        await until_freed(WebsocketsConnection)


@pytest.mark.real
@pytest.mark.parametrize(
    ("ends", "stage"), [("client", Stage.LIVE), ("endpoint", Stage.LIVE), *SILENT]
)
async def test_a_connection_of_asgi(tmp_path: Path, ends: str, stage: Stage) -> None:
    async with asgi_service(tmp_path, stage) as it:
        for number in range(3):
            if ends == "silence":
                async with handshake(it.http, "/u"):
                    await until(lambda number=number: len(it.told.closings) == number + 1)
            else:
                async with connect(f"{it.url}u") as client:
                    await client.send("hello" if ends == "client" else "bye")
                    await client.recv() if ends == "client" else await client.wait_closed()
        await until(lambda: len(it.told.closings) == 3)
        await until_freed(AsgiConnection, WebSocketProtocol)


@pytest.mark.real
async def test_a_drained_connection_of_asgi(tmp_path: Path) -> None:
    async with asgi_service(tmp_path, Stage.LIVE) as it:
        async with drained(it.shim, [f"{it.url}{n}" for n in range(3)], it.told.closings):
            pass
        await until_freed(AsgiConnection, WebSocketProtocol)


def test_a_simulated_connection() -> None:
    """What is left are the connections that were open at the end, one of each user."""
    told = records(scenario(users=20))
    assert len(told.verdicts) > 20
    left = [thing for thing in alive(SimulatedConnection) if type(thing) is SimulatedConnection]
    assert [connection.gone for connection in left] == [False] * 20
