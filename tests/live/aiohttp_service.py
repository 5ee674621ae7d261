"""A service of aiohttp with one handler, and handlers that read in different ways."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from shim.aio import Shim, WebSocket
from shim.aio.aiohttp_connection import AiohttpConnection
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Cause, Closing, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer, handles
from shim.settings.settings import load_settings
from tests.live.servers import QUICK

Handler = Callable[["Service", WebSocket, AiohttpConnection | None], Awaitable[None]]


class Closings(Observer):
    def __init__(self) -> None:
        self.all: list[tuple[Cause, int | None, int]] = []

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self.all.append((closing.cause, closing.intended, closing.observed))


@dataclass
class Service:
    """A service with one handler; what the handlers find out is `told`, `websockets` are in their order."""

    shim: Shim
    closings: Closings
    url: str = ""
    told: list[Any] = field(default_factory=list)
    websockets: list[WebSocket] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def service(
    folder: Path,
    handler: Handler,
    *,
    registered: bool = True,
    cancels: bool = False,
    stage: Stage = Stage.LIVE,
    **options: Any,
) -> AsyncIterator[Service]:
    (folder / "shim.yaml").write_text(QUICK)
    closings = Closings()
    settings = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    it = Service(Shim(settings, everyone_at(stage).evaluate, [closings]), closings)

    async def handle(request: web.Request) -> web.StreamResponse:
        websocket = it.shim.websocket(**options)
        await websocket.prepare(request)
        it.websockets.append(websocket)
        try:
            if registered:
                async with it.shim.register_app_connection(websocket, "u", "s", "p") as live:
                    await handler(it, websocket, live)
            else:
                await handler(it, websocket, None)
        except BaseException as error:
            it.errors.append(error)
            raise
        return websocket

    app = web.Application()
    app.cleanup_ctx.append(it.shim.lifespan)
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=2, handler_cancellation=cancels)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    it.url = url_of(listener)
    try:
        yield it
    finally:
        await runner.cleanup()


async def by_the_connection(it: Service, websocket: WebSocket, live: Any) -> None:
    async for message in live:
        it.told.append(message.data)


async def by_the_websocket(it: Service, websocket: WebSocket, live: Any) -> None:
    async for message in websocket:
        it.told.append(message.data)


async def by_receive(it: Service, websocket: WebSocket, live: Any) -> None:
    while (message := await websocket.receive()).type is WSMsgType.TEXT:
        it.told.append(message.data)


async def by_receive_with_a_timeout(it: Service, websocket: WebSocket, live: Any) -> None:
    while (message := await websocket.receive(timeout=20)).type is WSMsgType.TEXT:
        it.told.append(message.data)


async def by_receive_str(it: Service, websocket: WebSocket, live: Any) -> None:
    for _ in range(2):
        it.told.append(await websocket.receive_str())


async def by_receive_json(it: Service, websocket: WebSocket, live: Any) -> None:
    for _ in range(2):
        it.told.append(json.dumps(await websocket.receive_json()))


async def not_at_all(it: Service, websocket: WebSocket, live: Any) -> None:
    while websocket.transport is not None:  # noqa: ASYNC110 - a handler that is busy elsewhere
        await asyncio.sleep(0.05)
