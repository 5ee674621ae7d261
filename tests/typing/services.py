"""A service on aiohttp, one on FastAPI, one on `websockets`, and one that assembles the parts itself."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import assert_type

from aiohttp import WSMessage, web
from fastapi import WebSocket as WebSocketOfFastApi
from websockets.asyncio.server import ServerConnection, serve

from shim.aio import Shim, WebSocket
from shim.asgi import Shim as AsgiShim
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import Targeting, everyone_at
from shim.model import Connection, MonitorType, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import Settings, load_settings
from shim.websockets import Shim as WebsocketsShim


async def aiohttp_handler(request: web.Request) -> web.WebSocketResponse:
    shim = Shim.open("config/shim.yaml")
    assert_type(shim, Shim)
    websocket = shim.websocket(max_msg_size=1024)
    assert_type(websocket, WebSocket)
    await websocket.prepare(request)
    async with shim.register_app_connection(websocket, "u", "s", "p") as live:
        async for message in live:
            assert_type(message, WSMessage)
        assert_type(live.connection, Connection)
    async with shim.register_glasses_connection(websocket, "u", "s"):
        await websocket.send_str("hello")
    shim.register_app_connection(websocket, "u", "s")  # type: ignore[call-arg]
    shim.register_app_connection(web.WebSocketResponse(), "u", "s", "p")  # type: ignore[arg-type]
    return websocket


def aiohttp_application(path: Path) -> web.Application:
    shim = Shim.open(path)
    app = web.Application()
    app.cleanup_ctx.append(shim.lifespan)
    console = shim.console()
    assert_type(console, web.Application)
    app.add_subapp("/shim", console)
    lifespan: Callable[[web.Application], AsyncIterator[None]] = shim.lifespan
    app.cleanup_ctx.append(lifespan)
    return app


async def fastapi_endpoint(websocket: WebSocketOfFastApi) -> None:
    shim = AsgiShim.open("config/shim.yaml")
    assert_type(shim, AsgiShim)
    async with shim:
        await websocket.accept()
        async with shim.register_app_connection(websocket, "u", "s", "p") as live:
            assert_type(live.connection, Connection)
        async with shim.register_glasses_connection(websocket.scope, "u", "s"):
            pass
        shim.register_app_connection(object(), "u", "s", "p")  # type: ignore[arg-type]


async def websockets_service() -> None:
    shim = WebsocketsShim.open("config/shim.yaml")
    assert_type(shim, WebsocketsShim)

    async def handler(websocket: ServerConnection) -> None:
        async with shim.register_app_connection(websocket, "u", "s", "p"):
            async for message in websocket:
                assert_type(message, str | bytes)

    async with serve(handler, "127.0.0.1", 0, **shim.options), shim:
        pass


def from_parts() -> Shim:
    types = monitor_types(plugin_manager())
    assert_type(types, dict[str, MonitorType])
    settings = load_settings(Path("config/shim.yaml"), types)
    assert_type(settings, Settings)
    targeting = everyone_at(Stage.SHADOW)
    assert_type(targeting, Targeting)
    assert_type(targeting.evaluate("alice@example.com"), Evaluation)
    return Shim(settings, targeting.evaluate)
