"""A live connection of an aiohttp service: what is read from its WebSocket."""

from typing import TYPE_CHECKING, Any

from aiohttp import WSMessage, WSMsgType
from aiohttp.web import WebSocketResponse

from shim.aio.websocket import WebSocket
from shim.runtime.live_connection import LiveConnection

if TYPE_CHECKING:
    from shim.aio.aiohttp_shim import AiohttpShim

_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class AiohttpConnection(LiveConnection):
    """Iterate over it for the client's data messages; it is a context manager, too.

    Applications that read the socket themselves call `touch` for each message.
    """

    __slots__ = ("websocket",)

    def __init__(self, shim: "AiohttpShim", websocket: WebSocket) -> None:
        super().__init__(shim)
        self.websocket = websocket

    @property
    def codes(self) -> tuple[int | None, int | None]:
        sent = self.websocket.close_sent
        return None if sent is None else sent[0], self.websocket.close_received

    def abort(self) -> None:
        self.websocket.abort()

    def _send_ping(self, payload: bytes) -> None:
        self.websocket.write_frame(WSMsgType.PING, payload)

    def _begin_close(self, code: int, reason: str, timeout: int | None = None) -> None:
        self.websocket.begin_close(code, reason, timeout)

    @property
    def transport(self) -> Any:
        return self.websocket.transport

    async def __aenter__(self) -> "AiohttpConnection":
        return self

    def __aiter__(self) -> "AiohttpConnection":
        return self

    async def __anext__(self) -> WSMessage:
        """The next data message, until the connection ends; pings are answered, pongs are seen."""
        websocket = self.websocket
        while True:
            # Not `websocket.receive()`: that is one coroutine more for each idle connection.
            websocket.receiving = True
            try:
                message = await WebSocketResponse.receive(websocket)
            finally:
                websocket.receiving = False
            kind = message.type
            if kind in _DATA:
                self.touch()
                if websocket.close_sent is None:
                    return message
            elif kind is WSMsgType.PONG:
                self.touch()
                self._shim.pong(self.tracked, bytes(message.data))
            elif kind is WSMsgType.PING:
                websocket.write_frame(WSMsgType.PONG, bytes(message.data))
                self._shim.data(self.tracked)
            else:
                if kind is WSMsgType.CLOSE:
                    if websocket.close_sent is not None:
                        self._shim.spoke_after_close(self.tracked)
                    websocket.peer_closed(message.data)
                self.release()
                raise StopAsyncIteration
