"""The shim in an ASGI application on uvicorn: of Starlette, FastAPI or another framework.

shim = Shim.open("config/shim.yaml")

@asynccontextmanager
async def lifespan(app):
    async with shim:
        yield

async def endpoint(websocket):
    await websocket.accept()
    async with shim.register_app_connection(websocket, user, session, package):
        async for message in websocket.iter_text():
            ...

uvicorn.run(app, ws="shim.asgi:WebSocketProtocol")

uvicorn closes everyone before it ends the lifespan. So the drain begins where uvicorn wants to close.
The console has a listener of its own where the settings say `console: {host, port}`.
"""

from asyncio import Task, create_task
from collections.abc import Callable, Mapping
from functools import partial
from inspect import currentframe
from typing import Any, Protocol, Self

from shim.asgi.asgi_connection import AsgiConnection
from shim.asgi.uvicorn_protocol import EXTENSION, WebSocketProtocol
from shim.embedding.embedded_shim import EmbeddedShim
from shim.model import Connection
from shim.runtime.sessions import Session

_OTHERS = {"daphne": "Daphne", "granian": "Granian", "hypercorn": "Hypercorn"}

_WITHOUT_SHIM = (
    "this server does not tell the shim about its WebSockets. Run the application with uvicorn and"
    ' ws="shim.asgi:WebSocketProtocol" (uvicorn --ws shim.asgi:WebSocketProtocol)'
)


class Scoped(Protocol):
    """The WebSocket of Starlette, FastAPI, or another framework: `scope` is the connection scope of ASGI."""

    @property
    def scope(self) -> Any: ...


class AsgiShim(EmbeddedShim[Scoped | Mapping[str, Any], AsgiConnection]):
    """Runs the monitors over the connections of one ASGI application on uvicorn.

    Connections are registered by the WebSocket of the framework, or by the scope itself.
    """

    _draining: Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Raises RuntimeError if another server than uvicorn with `WebSocketProtocol` runs the application."""
        _refuse_other_servers()
        return await super().__aenter__()

    def begin_drain(self) -> None:
        """Begin to close every connection with 1012; the first call counts."""
        if self._draining is None:
            self._draining = create_task(super().drain())

    async def drain(self) -> None:
        self.begin_drain()
        assert self._draining is not None
        await self._draining

    def connector(
        self, websocket: Scoped | Mapping[str, Any]
    ) -> Callable[[Connection, Session[AsgiConnection]], AsgiConnection]:
        """Makes the live connection of this WebSocket, or of the one with this scope.

        Raises TypeError for a connection of a server that does not know the shim, and RuntimeError if
        the application has not accepted the WebSocket.
        """
        scope = websocket if isinstance(websocket, Mapping) else websocket.scope
        reference = scope.get("extensions", {}).get(EXTENSION, {}).get("protocol")
        if reference is None:
            raise TypeError(f"this connection cannot be watched: {_WITHOUT_SHIM}")
        protocol: WebSocketProtocol | None = reference()
        if protocol is None or not protocol.is_accepted:
            raise RuntimeError(
                "accept the WebSocket before it is registered: await websocket.accept()"
            )
        return partial(AsgiConnection, self, protocol)


def _refuse_other_servers() -> None:
    """To be called in the lifespan of the application.

    ASGI does not name the server. So the answer is in the frames that led to this call; if they do not
    tell, as where a test runs the lifespan, nothing is refused.

    Raises RuntimeError for another server, and for uvicorn with another class for its WebSockets.
    """
    frame = currentframe()
    while frame is not None:
        name = str(frame.f_globals.get("__name__")).partition(".")[0]
        config = getattr(frame.f_locals.get("self"), "config", None) if name == "uvicorn" else None
        if name in _OTHERS:
            raise RuntimeError(f"{_OTHERS[name]}: {_WITHOUT_SHIM}")
        if config is not None:
            chosen = config.ws_protocol_class
            if chosen is None or not issubclass(chosen, WebSocketProtocol):
                raise RuntimeError(f"uvicorn with ws={config.ws!r}: {_WITHOUT_SHIM}")
            return
        frame = frame.f_back
