"""The reference server with its console, in this event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from shim.flags import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.server import Secrets
from shim.server.house import House, open_house
from shim.server.serving import listen, serving, url_of
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
        listener = listen("127.0.0.1", 0)
        admin = listen("127.0.0.1", 0) if apart else None
        async with serving(house, listener, admin):
            yield Server(house, url_of(listener), url_of(admin or listener))
