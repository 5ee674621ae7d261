"""The reference server: the WebSocket service of the seed, watched by the shim (`shim serve`)."""

from shim.server.app import make_app
from shim.server.auth import Secrets

__all__ = ["Secrets", "make_app"]
