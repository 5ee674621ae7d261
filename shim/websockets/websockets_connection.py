"""A live connection of a service on the `websockets` library.

Frames are seen as the library reads them from the transport, whether or not the handler receives: a
busy handler looks busy only when the library's own queue is full and it stops reading.
"""

from asyncio import Transport
from typing import Any

from websockets.asyncio.server import ServerConnection as Base
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from shim.embedding.frames import close_codes, see_frame
from shim.model import Connection, Duration
from shim.runtime.live_connection import Host, LiveConnection
from shim.runtime.sessions import Session
from shim.runtime.tcp_info import abort_transport


class BackedUpProtocol(ServerProtocol):
    """While the peer does not fetch what was sent, its latest ping waits (RFC 6455 section 5.5.3)."""

    unanswered: bytes | None = None

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self.unanswered = bytes(frame.data)
            self.events.append(frame)
        else:
            super().recv_frame(frame)


class ServerConnection(Base):
    """For `serve(..., create_connection=ServerConnection, ping_interval=None)`."""

    live: "WebsocketsConnection | None" = None

    def pause_writing(self) -> None:
        """More bytes wait to be sent than `write_limit`: the library would answer pings without end."""
        super().pause_writing()
        self.protocol.__class__ = BackedUpProtocol

    def resume_writing(self) -> None:
        super().resume_writing()
        protocol = self.protocol
        if isinstance(protocol, BackedUpProtocol):
            payload, protocol.unanswered = protocol.unanswered, None
            self.protocol.__class__ = ServerProtocol
            if payload is not None and protocol.state is State.OPEN:
                protocol.send_pong(payload)
                self.send_data()

    def watch(self, live: "WebsocketsConnection") -> None:
        """Report frames and the end to this live connection from now on."""
        if self.state is State.CLOSED:
            live.release()
        else:
            self.live = live

    def process_event(self, event: Any) -> None:
        live = self.live
        if live is not None:
            see_frame(live, event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        live, self.live = self.live, None
        if live is not None:
            live.release()


class WebsocketsConnection(LiveConnection):
    """Receive from the websocket itself, as without the shim, which sees each frame that is read."""

    __slots__ = ("websocket",)

    def __init__(
        self, host: Host, websocket: ServerConnection, connection: Connection, session: Session[Any]
    ) -> None:
        self.websocket = websocket
        super().__init__(host, connection, session)
        websocket.watch(self)

    @property
    def codes(self) -> tuple[int | None, int | None]:
        return close_codes(self.websocket.protocol)

    @property
    def transport(self) -> Transport:
        return self.websocket.transport

    def send_ping(self, payload: bytes) -> None:
        protocol = self.websocket.protocol
        if protocol.state is State.OPEN:
            protocol.send_ping(payload)
            self.websocket.send_data()

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        protocol = self.websocket.protocol
        if protocol.state is State.OPEN:
            protocol.send_close(code, reason)
            self.websocket.send_data()
        # Also if it is too late for the frame: the peer has closed, and may fetch nothing more.
        self._host.call_after(timeout, self.abort)

    def abort(self) -> None:
        abort_transport(self.websocket.transport)
