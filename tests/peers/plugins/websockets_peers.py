"""A plugin of pytest for the suite of `websockets`: the shim's connection in the place of the library's.

With SHIM_REGISTERS=1 each connection is registered as soon as its handshake is over.
"""

import os
from typing import Any

from websockets.asyncio import server

from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from shim.websockets import ServerConnection, Shim

SETTINGS = load_settings(None, monitor_types(plugin_manager()))


class Registered(ServerConnection):
    """Registers itself, each with a shim of its own."""

    def start_keepalive(self) -> None:
        super().start_keepalive()
        shim = Shim(SETTINGS, everyone_at(Stage.LIVE).evaluate)
        shim.start()
        shim.register_app_connection(self, "user", "session", "com.example.app")


chosen: Any = Registered if os.environ.get("SHIM_REGISTERS") else ServerConnection
chosen.__name__ = "ServerConnection"
server.ServerConnection = chosen  # type: ignore[misc]
