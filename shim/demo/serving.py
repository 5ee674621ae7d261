"""The reference server, served on a port of its own, for as long as an act lasts."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.aio import Shim
from shim.console.listener import listen
from shim.flags import Targeting
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer
from shim.runtime.secrets import Secrets
from shim.server.serving import serving
from shim.settings import settings_from

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Served:
    shim: Shim
    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"


@asynccontextmanager
async def serve(
    settings: Mapping[str, Any],
    observers: Sequence[Observer],
    flags: Targeting | Path,
    port: int = 0,
) -> AsyncIterator[Served]:
    """The reference server with these settings, and secrets that nobody knows; port 0 is any free one.

    `flags` is the rollout for good, or the file that has it. Raises InputError, as where it cannot
    listen.
    """
    read = settings_from(settings, monitor_types(plugin_manager()), "the demo's settings")
    rollout = None if isinstance(flags, Path) else flags
    if rollout is None:
        read = read.model_copy(update={"rollout": flags})
    keys = Secrets(
        jwt_secret=secrets.token_hex(32),
        operator_token=secrets.token_hex(32),
        hash_key=secrets.token_hex(32),
        dev=True,
    )
    shim = Shim.open(read, secrets=keys, observers=observers, targeting=rollout)
    listener = listen(HOST, port)
    async with serving(shim, listener):
        yield Served(shim, int(listener.getsockname()[1]))
