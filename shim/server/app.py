"""The application: the sockets and the console put together."""

import socket

from aiohttp import web

from shim.console import Operations, add_console, add_health, console_on
from shim.gate import GateAnswer, judge
from shim.ledger import LedgerReader, wall_clock
from shim.ledger.gate_evidence import gate_evidence
from shim.server.auth import Gatekeeper
from shim.server.badhttp import told_in_a_line
from shim.server.house import House
from shim.server.sockets import Sockets


def make_app(house: House, admin: socket.socket | None = None) -> web.Application:
    """The reference server as an aiohttp application.

    The console (dashboard, API, metrics) is on it, too, unless there is a listener for it alone.
    """
    app = web.Application()
    app.cleanup_ctx.extend((told_in_a_line, house.shim.lifespan, house.lifespan))
    sockets = Sockets(house.shim, Gatekeeper(house.secrets, house.settings.server.apps))
    app.router.add_get("/glasses-ws", sockets.glasses)
    app.router.add_get("/app-ws", sockets.apps)
    operations = _operations(house)
    add_health(app, operations)
    if admin is None:
        add_console(app, operations, house.secrets)
    else:
        app.cleanup_ctx.append(console_on(admin, operations, house.secrets))
    return app


def _operations(house: House) -> Operations:
    settings = house.settings

    def gate(ledger: LedgerReader) -> GateAnswer:
        return judge(gate_evidence(ledger, settings, wall_clock()), settings.gate)

    return Operations(
        shim=house.shim,
        tally=house.tally,
        evaluate=house.shim.evaluate,
        flags=house.flags,
        ledger=house.reader,
        ledger_status=house.ledger.status,
        flush=house.ledger.flush,
        gate=gate,
        metrics=house.metrics.render,
    )
