"""The console on a listener of its own (`server.admin` in the settings)."""

import socket
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from shim.console.api.routes import add_console, add_health
from shim.console.operations import Operations
from shim.console.runner import runner_of
from shim.runtime.secrets import Secrets

_SHUTDOWN = 2.0


def console_on(
    listener: socket.socket, operations: Operations, secrets: Secrets
) -> Callable[[web.Application], AsyncIterator[None]]:
    """For the `cleanup_ctx` of the application that serves the WebSockets: both live as long."""

    async def lifespan(_: web.Application) -> AsyncIterator[None]:
        app = web.Application()
        add_health(app, operations)
        add_console(app, operations, secrets)
        runner = runner_of(app, _SHUTDOWN)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield
        await runner.cleanup()

    return lifespan
