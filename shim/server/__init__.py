"""The reference server: the WebSocket service of the seed, watched by the shim (`shim serve`)."""

from shim.runtime.secrets import Secrets
from shim.server.app import make_app
from shim.server.house import House, open_house

__all__ = ["House", "Secrets", "make_app", "open_house"]
