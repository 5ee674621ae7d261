"""A plugin of pytest for the suite of aiohttp: the shim's WebSocket in the place of aiohttp's.

With SHIM_REGISTERS=1 each connection is registered as soon as it is prepared.
"""

import asyncio
import os
from typing import Any

from aiohttp import web

from shim.aio import Shim, WebSocket
from shim.flags.targeting import everyone_at
from shim.model import SECOND, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings

SETTINGS = load_settings(None, monitor_types(plugin_manager()))


def call_after(delay: int, callback: Any) -> None:
    asyncio.get_running_loop().call_later(delay / SECOND, callback)


class Unregistered(WebSocket):
    def __init__(self, **options: Any) -> None:
        # Some tests never reply to a close frame: shorter than the default.
        super().__init__(call_after, **{"timeout": 0.5, **options})


class Registered(Unregistered):
    """Registers itself, each with a shim of its own."""

    async def prepare(self, request: Any) -> Any:
        was_prepared = self.prepared
        writer = await super().prepare(request)
        if not was_prepared and isinstance(request.transport, asyncio.Transport):
            shim = Shim(SETTINGS, everyone_at(Stage.LIVE).evaluate)
            shim.start()
            shim.register_app_connection(self, "user", "session", "com.example.app")
        return writer


chosen = Registered if os.environ.get("SHIM_REGISTERS") else Unregistered
chosen.__name__ = "WebSocketResponse"
web.WebSocketResponse = chosen  # type: ignore[misc,assignment]
