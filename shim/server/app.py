"""The application: the shim, the sockets and the API put together."""

from aiohttp import web

from shim.server.api import Api
from shim.server.auth import Gatekeeper
from shim.server.house import House
from shim.server.sockets import Sockets


def make_app(house: House) -> web.Application:
    """The reference server as an aiohttp application."""
    shim, tally = house.shim, house.tally
    gatekeeper = Gatekeeper(house.secrets, house.settings.server.apps)
    sockets, api = Sockets(shim, gatekeeper), Api(shim, tally, gatekeeper)
    app = web.Application(middlewares=[api.guard])
    app.cleanup_ctx.extend((shim.lifespan, house.lifespan))
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
