"""The console over a real shim, in this event loop."""

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
from shim.server.console import Operations, add_console
from shim.server.house import House, open_house
from shim.server.sockets import Sockets
from shim.settings import load_settings
from tests.live.servers import QUICK

SECRETS = Secrets("j" * 32, "operator's token", "hash-key", dev=True, viewer_token="viewer's token")
OPERATOR = {"Authorization": f"Bearer {SECRETS.operator_token}"}
VIEWER = {"Authorization": f"Bearer {SECRETS.viewer_token}"}


@dataclass
class Server:
    house: House
    url: str


def console_app(house: House, rollout: Rollout) -> web.Application:
    """What `shim.server.app` serves, with nothing but the sockets and the console."""
    app = web.Application()
    sockets = Sockets(house.shim, Gatekeeper(house.secrets, house.settings.server.apps))
    app.router.add_get("/glasses-ws", sockets.glasses)
    app.router.add_get("/app-ws", sockets.apps)
    app.cleanup_ctx.extend((house.shim.lifespan, house.lifespan))
    operations = Operations(
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
    add_console(app, operations, house.secrets)
    return app


@asynccontextmanager
async def console(
    folder: Path,
    stage: Stage = Stage.SHADOW,
    settings: str = QUICK,
    secrets: Secrets = SECRETS,
    host: str = "127.0.0.1",
) -> AsyncIterator[Server]:
    path = folder / "shim.yaml"
    path.write_text(f"{settings}\nledger: sqlite:///{folder}/shim.db\n")
    rollout = everyone_at(stage)
    loaded = load_settings(path, monitor_types(plugin_manager()))
    with open_house(loaded, secrets, rollout=rollout) as house:
        runner = web.AppRunner(console_app(house, rollout), shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, host, 0).start()
        try:
            yield Server(house, f"http://{host}:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()
