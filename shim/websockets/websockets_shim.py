"""The shim in a service on the `websockets` library.

shim = Shim.open("config/shim.yaml")

async def handler(websocket):
    async with shim.register_app_connection(websocket, user, session, package):
        async for message in websocket:
            ...

async with serve(handler, host, port, **shim.options), shim:
    ...

The server is the outer one: at the end the shim sends everyone away with 1012 while the library still
reads. The other way round the library has closed everyone with 1001 already.

The console has a listener of its own where the settings say `console: {host, port}`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from websockets.asyncio.server import ServerConnection as Base

from shim.embedding.embedded_shim import EmbeddedShim
from shim.model import Connection
from shim.runtime.sessions import Session
from shim.websockets.websockets_connection import ServerConnection, WebsocketsConnection


class WebsocketsShim(EmbeddedShim[Base, WebsocketsConnection]):
    """Runs the monitors over the connections of one `websockets` server."""

    options: dict[str, Any] = {"create_connection": ServerConnection, "ping_interval": None}  # noqa: RUF012
    """For `serve`: connections that can be watched, without pings of the library's own."""

    def connector(
        self, websocket: Base
    ) -> Callable[[Connection, Session[WebsocketsConnection]], WebsocketsConnection]:
        """Makes the live connection of this WebSocket.

        Raises TypeError for a connection of a server that was started without `**shim.options`.
        """
        if not isinstance(websocket, ServerConnection):
            raise TypeError("this connection cannot be watched: serve(handler, …, **shim.options)")
        return partial(WebsocketsConnection, self, websocket)
