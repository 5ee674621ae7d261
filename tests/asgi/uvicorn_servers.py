"""uvicorn in this event loop, with the shim's protocol class or another one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import uvicorn

from tests.waiting import until

WS = "shim.asgi:WebSocketProtocol"


class Uvicorn(uvicorn.Server):
    """`stop` ends the server as a signal does, and waits for the end."""

    def __init__(self, app: Any, tls: SSLContext | None = None, **options: Any) -> None:
        defaults = {"ws": WS, "port": 0, "lifespan": "on", "log_config": None}
        super().__init__(uvicorn.Config(app, **{**defaults, **options}))
        self.config.load()
        self.config.ssl = tls
        self.ended: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def stop(self) -> None:
        self.should_exit = True
        assert self.ended is not None
        await self.ended


@asynccontextmanager
async def uvicorn_server(app: Any, **options: Any) -> AsyncIterator[Uvicorn]:
    """A server that serves, until the context ends."""
    server = Uvicorn(app, **options)
    server.ended = asyncio.create_task(server.serve())
    ended = server.ended
    await until(lambda: server.started or ended.done())
    try:
        yield server
    finally:
        await server.stop()
