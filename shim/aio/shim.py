"""The shim in an aiohttp service.

shim = Shim(settings, rollout.evaluate)
app.cleanup_ctx.append(shim.lifespan)

async def handler(request):
    websocket = shim.websocket()
    await websocket.prepare(request)
    async with shim.register_app_connection(websocket, user, session, package) as connection:
        async for message in connection:
            ...
    return websocket
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiohttp import web

from shim.aio.connection import LiveConnection
from shim.aio.websocket import WebSocket
from shim.coordinator import Coordinator
from shim.driver.driver import clock
from shim.flags import Evaluation
from shim.model import Kind, seconds
from shim.router import Observer
from shim.settings import Settings


class Shim(Coordinator[LiveConnection]):
    """Runs the monitors over the connections of one aiohttp application."""

    def __init__(
        self,
        settings: Settings,
        evaluate: Callable[[str], Evaluation],
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(settings, evaluate, observers)
        # One bound method for all sockets.
        self._call_at = self.driver.call_at

    async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
        """For `app.cleanup_ctx`: start with the application, and go with it."""
        self.start()
        app.on_shutdown.append(self._on_shutdown)
        yield
        self.stop()

    async def _on_shutdown(self, app: web.Application) -> None:
        await self.drain(seconds(self.settings.server.drain))

    def websocket(self, **options: Any) -> WebSocket:
        """A WebSocket that can be registered; options as for `web.WebSocketResponse`."""
        return WebSocket(clock, self._call_at, **options)

    def register_glasses_connection(
        self, websocket: WebSocket, user: str, session: str
    ) -> LiveConnection:
        """Watch the connection of a user's glasses. Call it when `websocket` is prepared."""
        live = LiveConnection(self, websocket)
        self._register(live, Kind.GLASSES, user, session, None)
        return live

    def register_app_connection(
        self, websocket: WebSocket, user: str, session: str, package: str
    ) -> LiveConnection:
        """Watch an app's connection in a user's session. Call it when `websocket` is prepared."""
        live = LiveConnection(self, websocket)
        self._register(live, Kind.APP, user, session, package)
        return live
