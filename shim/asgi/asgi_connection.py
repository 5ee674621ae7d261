"""A live connection of an ASGI application."""

from asyncio import Transport
from typing import Any, Protocol

from shim.asgi.uvicorn_protocol import Draining, WebSocketProtocol
from shim.embedding.frames import close_codes
from shim.model import Connection, Duration
from shim.runtime.live_connection import Host, LiveConnection
from shim.runtime.sessions import Session


class _Host(Host, Draining, Protocol):
    """What a live connection, and its protocol, need of the shim."""


class AsgiConnection(LiveConnection):
    """Receive from the WebSocket itself, as without the shim, which sees each frame that uvicorn reads."""

    __slots__ = ("protocol",)

    def __init__(
        self,
        host: _Host,
        protocol: WebSocketProtocol,
        connection: Connection,
        session: Session[Any],
    ) -> None:
        self.protocol = protocol
        super().__init__(host, connection, session)
        protocol.watch(self, host)

    @property
    def codes(self) -> tuple[int | None, int | None]:
        return close_codes(self.protocol.conn)

    @property
    def transport(self) -> Transport:
        return self.protocol.transport

    def send_ping(self, payload: bytes) -> None:
        self.protocol.write_ping(payload)

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        self.protocol.begin_close(code, reason, timeout)

    def abort(self) -> None:
        self.protocol.abort()
