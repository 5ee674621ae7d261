"""The application of the reference server: the shim as any service embeds it, with the sockets of the seed."""

from aiohttp import web

from shim.aio import Shim
from shim.console import add_health
from shim.server.auth import Gatekeeper
from shim.server.sockets import Sockets


def make_app(shim: Shim) -> web.Application:
    """The reference server as an aiohttp application.

    The console (dashboard, API, metrics) is on it, too, unless it has a listener of its own.
    """
    if shim.settings.console_address is None:
        app = shim.console()
    else:
        app = web.Application()
        add_health(app, shim.operations)
    app.cleanup_ctx.append(shim.lifespan)
    gatekeeper = Gatekeeper(shim.assembly.secrets, shim.settings.server.apps)
    sockets = Sockets(shim, gatekeeper)
    app.router.add_get("/glasses-ws", sockets.glasses)
    app.router.add_get("/app-ws", sockets.apps)
    return app
