"""The console over a real shim, in this event loop."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from shim.discovery import monitor_types, plugin_manager
from shim.evidence import gate_evidence
from shim.flags import Rollout, everyone_at
from shim.gate import judge
from shim.ledger import wall_clock
from shim.model import Stage
from shim.server.auth import Gatekeeper, Secrets
from shim.server.console import Operations, add_console, add_health, console_on
from shim.server.house import House, open_house
from shim.server.sockets import Sockets
from shim.settings import load_settings
from tests.live.servers import QUICK

SECRETS = Secrets("j" * 32, "operator's token", "hash-key", dev=True, viewer_token="viewer's token")
OPERATOR = {"Authorization": f"Bearer {SECRETS.operator_token}"}
VIEWER = {"Authorization": f"Bearer {SECRETS.viewer_token}"}


@dataclass
class Server:
    """`admin` is where the console is, `url` where the WebSockets are."""

    house: House
    url: str
    admin: str


def operations_of(house: House, rollout: Rollout) -> Operations:
    return Operations(
        shim=house.shim,
        tally=house.tally,
        evaluate=rollout.evaluate,
        flags=house.flags,
        ledger=house.reader,
        ledger_status=house.ledger.status,
        gate=lambda ledger: judge(
            gate_evidence(ledger, house.settings, wall_clock()), house.settings.gate
        ),
        metrics=house.metrics.render,
    )


def console_app(house: House, rollout: Rollout) -> web.Application:
    """Sockets and console on one listener."""
    app = sockets_app(house)
    operations = operations_of(house, rollout)
    add_health(app, operations)
    add_console(app, operations, house.secrets)
    return app


def sockets_app(house: House) -> web.Application:
    app = web.Application()
    sockets = Sockets(house.shim, Gatekeeper(house.secrets, house.settings.server.apps))
    app.router.add_get("/glasses-ws", sockets.glasses)
    app.router.add_get("/app-ws", sockets.apps)
    app.cleanup_ctx.extend((house.shim.lifespan, house.lifespan))
    return app


@asynccontextmanager
async def console(
    folder: Path,
    stage: Stage = Stage.SHADOW,
    settings: str = QUICK,
    *,
    apart: bool = False,
) -> AsyncIterator[Server]:
    """Everyone is at this stage; with `apart` the console has a listener of its own."""
    path = folder / "shim.yaml"
    path.write_text(f"{settings}\nledger: sqlite:///{folder}/shim.db\n")
    rollout = everyone_at(stage)
    loaded = load_settings(path, monitor_types(plugin_manager()))
    with open_house(loaded, SECRETS, rollout=rollout) as house:
        url = admin = ""
        if apart:
            app = sockets_app(house)
            listener = socket.create_server(("127.0.0.1", 0))
            admin = f"http://127.0.0.1:{listener.getsockname()[1]}"
            app.cleanup_ctx.append(console_on(listener, operations_of(house, rollout), SECRETS))
        else:
            app = console_app(house, rollout)
        runner = web.AppRunner(app, shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield Server(house, url, admin or url)
        finally:
            await runner.cleanup()
