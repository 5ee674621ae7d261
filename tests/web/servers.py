"""The reference server with its console, in this event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.runtime.secrets import Secrets
from shim.server.serving import serving
from tests.live.servers import QUICK

SECRETS = Secrets("j" * 32, "operator's token", "hash-key", dev=True, viewer_token="viewer's token")
OPERATOR = {"Authorization": f"Bearer {SECRETS.operator_token}"}
VIEWER = {"Authorization": f"Bearer {SECRETS.viewer_token}"}


@dataclass
class Server:
    """`admin` is where the console is, `url` where the WebSockets are."""

    shim: Shim
    url: str
    admin: str


@asynccontextmanager
async def console(
    folder: Path,
    stage: Stage = Stage.SHADOW,
    settings: str = QUICK,
    *,
    apart: bool = False,
    trusted: str | None = None,
) -> AsyncIterator[Server]:
    """Everyone is at this stage; with `apart` the console has a listener of its own.

    `trusted` is the address of a proxy.
    """
    path = folder / "shim.yaml"
    own = "".join(
        line
        for line, wanted in (
            ("console:", apart or trusted),
            ("\n  port: 0", apart),
            (f"\n  trusted_proxies: [{trusted}]", trusted),
        )
        if wanted
    )
    path.write_text(f"{settings}\nledger: sqlite:///{folder}/shim.db\n{own}\n")
    shim = Shim.open(path, secrets=SECRETS, targeting=everyone_at(stage))
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener):
        yield Server(shim, url_of(listener), shim.console_url or url_of(listener))
