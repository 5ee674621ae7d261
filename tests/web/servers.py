"""The reference server with its console, in this event loop."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from shim.discovery import monitor_types, plugin_manager
from shim.flags import everyone_at
from shim.model import Stage
from shim.server import Secrets, make_app
from shim.server.house import House, open_house
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
    loaded = load_settings(path, monitor_types(plugin_manager()))
    with open_house(loaded, SECRETS, rollout=everyone_at(stage)) as house:
        listener = socket.create_server(("127.0.0.1", 0)) if apart else None
        runner = web.AppRunner(make_app(house, listener), shutdown_timeout=2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        admin = url if listener is None else f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield Server(house, url, admin)
        finally:
            await runner.cleanup()
