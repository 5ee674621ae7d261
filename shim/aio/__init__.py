"""The shim for aiohttp services: `Shim`, and the WebSocket it can watch."""

from shim.aio.aiohttp_shim import AiohttpShim as Shim
from shim.aio.websocket import WebSocket

__all__ = ["Shim", "WebSocket"]
