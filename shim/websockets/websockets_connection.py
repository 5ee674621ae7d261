"""A live connection of a service on the `websockets` library.

Frames are seen as the library reads them from the transport, whether or not the handler receives: a
busy handler looks busy only when the library's own queue is full and it stops reading.
"""

from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection as Base
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.protocol import State

from shim.model import SECOND, Duration
from shim.runtime.live_connection import LiveConnection

if TYPE_CHECKING:
    from shim.websockets.websockets_shim import WebsocketsShim

_CLOSE_TIMEOUT: Duration = 5 * SECOND


class ServerConnection(Base):
    """For `serve(..., create_connection=ServerConnection, ping_interval=None)`."""

    live: "WebsocketsConnection | None" = None

    def process_event(self, event: Any) -> None:
        live = self.live
        if live is not None:
            live.saw(event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.live is not None:
            self.live.release()


class WebsocketsConnection(LiveConnection):
    """Receive from the websocket itself, as ever; what comes is seen on its way."""

    __slots__ = ("websocket",)

    def __init__(self, shim: "WebsocketsShim", websocket: ServerConnection) -> None:
        super().__init__(shim)
        self.websocket = websocket

    async def __aexit__(self, *_: object) -> None:
        # The library closes what a handler leaves open, and says when the transport is gone.
        self.close_by_application(1000, "")

    def saw(self, frame: Frame) -> None:
        """A frame was read."""
        opcode = frame.opcode
        if opcode in DATA_OPCODES:
            self.touch()
        elif opcode is Opcode.PONG:
            self.touch()
            self._shim.pong(self.tracked, bytes(frame.data))
        elif opcode is Opcode.PING:
            self._shim.data(self.tracked)
        elif self.tracked.closed_by is not None:
            self._shim.spoke_after_close(self.tracked)

    @property
    def codes(self) -> tuple[int | None, int | None]:
        protocol = self.websocket.protocol
        sent, received = protocol.close_sent, protocol.close_rcvd
        # An echo of the peer's close frame was not our intention.
        intended = None if sent is None or protocol.close_rcvd_then_sent else int(sent.code)
        return intended, None if received is None else int(received.code)

    def abort(self) -> None:
        self.websocket.transport.abort()

    def _send_ping(self, payload: bytes) -> None:
        protocol = self.websocket.protocol
        if protocol.state is State.OPEN:
            protocol.send_ping(payload)
            self.websocket.send_data()

    def _begin_close(self, code: int, reason: str, timeout: Duration | None = None) -> None:
        protocol = self.websocket.protocol
        if protocol.state is State.OPEN:
            protocol.send_close(code, reason)
            self.websocket.send_data()
            timeout = _CLOSE_TIMEOUT if timeout is None else timeout
            self._shim.driver.call_at(self._shim.clock() + timeout, self.abort)

    @property
    def transport(self) -> Any:
        return self.websocket.transport
