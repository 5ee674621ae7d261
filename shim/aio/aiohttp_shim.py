"""The shim in an aiohttp service.

shim = Shim.open("config/shim.yaml")
app.cleanup_ctx.append(shim.lifespan)
app.add_subapp("/shim", shim.console())

async def handler(request):
    websocket = shim.websocket()
    await websocket.prepare(request)
    async with shim.register_app_connection(websocket, user, session, package) as connection:
        async for message in connection:
            ...
    return websocket
"""

from collections.abc import AsyncIterator, Callable
from functools import cached_property, partial
from typing import Any
from weakref import WeakSet

from aiohttp import web

from shim.aio.aiohttp_connection import AiohttpConnection
from shim.aio.websocket import CallAfter, WebSocket
from shim.embedding.embedded_shim import EmbeddedShim
from shim.model import Connection
from shim.runtime.live_connection import RESTART
from shim.runtime.sessions import Session


class AiohttpShim(EmbeddedShim[WebSocket, AiohttpConnection]):
    """Runs the monitors over the connections of one aiohttp application."""

    @cached_property
    def _unregistered(self) -> WeakSet[WebSocket]:
        """Sockets that were made and are not registered, or not yet."""
        return WeakSet()

    @cached_property
    def _call_after(self) -> CallAfter:
        """One bound method for all sockets."""
        return self.call_after

    async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
        """For `app.cleanup_ctx`: the shim starts with the application, and ends with it."""
        async with self.running():
            # Before those of the application, which may take their time.
            app.on_shutdown.insert(0, self._on_shutdown)
            yield

    async def _on_shutdown(self, app: web.Application) -> None:
        """aiohttp reads nothing any more: close the connections that are still open, and judge none of them."""
        self.driver.stop_judging()
        if not self.draining:
            await self.drain()

    async def drain(self) -> None:
        for websocket in self._unregistered:
            if websocket.is_open:
                websocket.begin_close(*RESTART, self.close_timeout)
        await super().drain()

    def _anyone_left(self) -> bool:
        return super()._anyone_left() or any(socket.is_open for socket in self._unregistered)

    def websocket(self, **options: Any) -> WebSocket:
        """A WebSocket that can be registered; options as for `web.WebSocketResponse`."""
        websocket = WebSocket(self._call_after, **options)
        self._unregistered.add(websocket)
        return websocket

    def connector(
        self, websocket: WebSocket
    ) -> Callable[[Connection, Session[AiohttpConnection]], AiohttpConnection]:
        """Makes the live connection of this WebSocket. Raises RuntimeError if it is not prepared."""
        if not websocket.prepared:
            raise RuntimeError("Call .prepare() first")
        self._unregistered.discard(websocket)
        return partial(AiohttpConnection, self, websocket)
