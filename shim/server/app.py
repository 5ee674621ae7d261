"""The application: the shim, the sockets and the API put together."""

from collections.abc import Callable, Sequence

from aiohttp import web

from shim.aio import Shim
from shim.flags import Evaluation
from shim.observers import LifecycleLog, Tally
from shim.router import Observer
from shim.server.api import Api
from shim.server.auth import Gatekeeper, Secrets
from shim.server.sockets import Sockets
from shim.settings import Settings

SHIM: web.AppKey[Shim] = web.AppKey("shim", Shim)
TALLY: web.AppKey[Tally] = web.AppKey("tally", Tally)


def make_app(
    settings: Settings,
    secrets: Secrets,
    evaluate: Callable[[str], Evaluation],
    observers: Sequence[Observer] = (),
) -> web.Application:
    """The reference server as an aiohttp application."""
    tally = Tally()
    shim = Shim(settings, evaluate, [LifecycleLog(), tally, *observers])
    gatekeeper = Gatekeeper(secrets, settings.server.apps)
    sockets, api = Sockets(shim, gatekeeper), Api(shim, tally, gatekeeper)
    app = web.Application(middlewares=[api.guard])
    app[SHIM], app[TALLY] = shim, tally
    app.cleanup_ctx.append(shim.lifespan)
    app.add_routes(
        [
            web.get("/glasses-ws", sockets.glasses),
            web.get("/app-ws", sockets.apps),
            web.get("/healthz", api.healthz),
            web.get("/readyz", api.readyz),
            web.get("/api/connections", api.connections),
            web.get("/api/report", api.report),
        ]
    )
    return app
