"""The shim for services built on the `websockets` library: `Shim`, and the connection it can watch."""

from shim.websockets.websockets_connection import ServerConnection
from shim.websockets.websockets_shim import WebsocketsShim as Shim

__all__ = ["ServerConnection", "Shim"]
