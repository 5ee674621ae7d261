"""A plugin of pytest for the suite of uvicorn: the shim's protocol in the place of uvicorn's.

With SHIM_REGISTERS=1 each connection is registered as soon as the application has accepted it.
"""

import os
from typing import Any

from uvicorn.protocols.websockets import websockets_sansio_impl

from shim.asgi import Shim, WebSocketProtocol
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings


class Registered(WebSocketProtocol):
    """Registers itself, each with a shim of its own."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept" and not self.transport.is_closing():
            settings = load_settings(None, monitor_types(plugin_manager()))
            shim = Shim(settings, everyone_at(Stage.LIVE).evaluate)
            await shim.__aenter__()
            shim.register_app_connection(self.scope, "user", "session", "com.example.app")


chosen = Registered if os.environ.get("SHIM_REGISTERS") else WebSocketProtocol
chosen.__name__ = "WebSocketsSansIOProtocol"  # some tests are skipped by the name
websockets_sansio_impl.WebSocketsSansIOProtocol = chosen  # type: ignore[misc]


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        mock = getattr(item.module, "MockWriteTransport", None)
        if mock is not None:
            mock.get_write_buffer_size = lambda _: 0
            mock.set_write_buffer_limits = lambda _, high: None
