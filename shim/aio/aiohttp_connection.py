"""A live connection of an aiohttp service: a `WebSocket` that is watched."""

from asyncio import Transport
from typing import Any

from aiohttp import WSMessage, WSMsgType
from aiohttp.web import WebSocketResponse

from shim.aio.websocket import WebSocket
from shim.model import Connection, Duration
from shim.runtime.live_connection import Host, LiveConnection
from shim.runtime.sessions import Session

_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)
_CONTROL = (WSMsgType.PING, WSMsgType.PONG)


class AiohttpConnection(LiveConnection):
    """Iterate over it for the client's data messages; it is a context manager, too.

    A handler may as well receive from the websocket itself: what comes is seen on its way.
    """

    __slots__ = ("websocket",)

    def __init__(
        self, host: Host, websocket: WebSocket, connection: Connection, session: Session[Any]
    ) -> None:
        self.websocket = websocket
        super().__init__(host, connection, session)
        websocket.watch(self)

    @property
    def codes(self) -> tuple[int | None, int | None]:
        sent = self.websocket.close_sent
        return None if sent is None else sent[0], self.websocket.close_received

    @property
    def transport(self) -> Transport | None:
        return self.websocket.transport

    def send_ping(self, payload: bytes) -> None:
        self.websocket.write_frame(WSMsgType.PING, payload)

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        self.websocket.begin_close(code, reason, timeout)

    def abort(self) -> None:
        self.websocket.abort()

    def __aiter__(self) -> "AiohttpConnection":
        return self

    async def __anext__(self) -> WSMessage:
        """The next data message, until the connection ends."""
        websocket = self.websocket
        while True:
            await websocket.wait_for_frame()
            # Not `websocket.receive()`: that is one coroutine more for each message.
            message = await WebSocketResponse.receive(websocket)
            if message.type in _DATA:
                return message
            if message.type not in _CONTROL:
                raise StopAsyncIteration
