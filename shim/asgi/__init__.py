"""The shim for ASGI applications on uvicorn: `Shim`, and the protocol class for `uvicorn.run(…, ws=…)`."""

from shim.asgi.asgi_shim import AsgiShim as Shim
from shim.asgi.uvicorn_protocol import WebSocketProtocol

__all__ = ["Shim", "WebSocketProtocol"]
