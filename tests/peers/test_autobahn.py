"""The cases of the Autobahn test suite, as kosoku plays them: an echo service fails none more with the shim."""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from websockets.asyncio.server import ServerConnection, serve

from shim import aio, websockets
from shim.console.listener import listen
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from tests.peers.sdists import distribution

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    # kosoku leaves its files of test data open.
    pytest.mark.filterwarnings(
        "ignore:.*autobahntestsuite:pytest.PytestUnraisableExceptionWarning"
    ),
]

CASES = [
    *(f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)),
    "9.1.1",
    "9.2.1",
    "12.1.1",
    "13.1.1",
]
"""All but most of those about speed and compression, which take minutes."""

REPEATS = 3

SETTINGS = load_settings(None, monitor_types(plugin_manager()))
AT_LIVE = everyone_at(Stage.LIVE).evaluate
Service = Callable[[bool], AbstractAsyncContextManager[int]]


@asynccontextmanager
async def aiohttp_service(with_shim: bool) -> AsyncIterator[int]:
    shim, users = aio.Shim(SETTINGS, AT_LIVE), count()

    async def echo(websocket: Any) -> None:
        async for message in websocket:
            if message.type is WSMsgType.TEXT:
                await websocket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await websocket.send_bytes(message.data)

    async def handle(request: web.Request) -> web.StreamResponse:
        if not with_shim:
            bare = web.WebSocketResponse(max_msg_size=0)
            await bare.prepare(request)
            await echo(bare)
            return bare
        websocket = shim.websocket(max_msg_size=0)
        await websocket.prepare(request)
        async with shim.register_app_connection(websocket, f"u{next(users)}", "s", "p"):
            await echo(websocket)
        return websocket

    app = web.Application()
    app.cleanup_ctx.append(shim.lifespan)
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def websockets_service(with_shim: bool) -> AsyncIterator[int]:
    shim, users = websockets.Shim(SETTINGS, AT_LIVE), count()

    async def handle(websocket: ServerConnection) -> None:
        if not with_shim:
            async for message in websocket:
                await websocket.send(message)
            return
        async with shim.register_app_connection(websocket, f"u{next(users)}", "s", "p"):
            async for message in websocket:
                await websocket.send(message)

    options = shim.options if with_shim else {}
    async with serve(handle, "127.0.0.1", 0, max_size=None, **options) as server, shim:
        yield server.sockets[0].getsockname()[1]


async def play(url: str, cases: list[str]) -> dict[str, str]:
    """What came out of each case; empty where all is well."""
    kosoku = importlib.import_module("kosoku")
    try:
        results = await kosoku.run_fuzzingclient(url, cases)
    except kosoku.FailureError as error:
        results = error.results
    bad = {"FAILED", "ERROR", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"}
    found = {case.case_id: [case.behavior.value, case.behavior_close.value] for case in results}
    return {id: ", ".join(word for word in words if word in bad) for id, words in found.items()}


async def failures(service: Service, with_shim: bool) -> dict[str, str]:
    """Those cases that fail however often they are played: some depend on fractions of a second."""
    async with service(with_shim) as port:
        url = f"ws://127.0.0.1:{port}/"
        results = await play(url, CASES)
        assert len(results) > 240
        for _ in range(REPEATS):
            failed = [id for id, words in results.items() if words]
            results = await play(url, failed) if failed else {}
        return {id: words for id, words in results.items() if words}


async def test_no_case_fails_because_of_the_shim(monkeypatch: pytest.MonkeyPatch) -> None:
    """All services at once: they mostly wait."""
    monkeypatch.setattr(sys, "path", [str(distribution("kosoku", "0.1.0")), *sys.path])
    services = (aiohttp_service, websockets_service)
    runs = [failures(service, shim) for service in services for shim in (True, False)]
    aiohttp_ours, aiohttp_bare, websockets_ours, websockets_bare = await asyncio.gather(*runs)
    assert aiohttp_ours.items() <= aiohttp_bare.items()
    assert websockets_ours.items() <= websockets_bare.items()
    # One case of each library is not passed by the library itself.
    assert len(aiohttp_bare) <= 1
    assert len(websockets_bare) <= 1
