"""The shim for services built on the `websockets` library: `Shim`, and the connection it can watch."""

from shim.websockets.connection import ServerConnection
from shim.websockets.shim import Shim

__all__ = ["ServerConnection", "Shim"]
