"""uvicorn's WebSocket protocol, as far as a connection is registered: watched, and closed in bounded time.

uvicorn closes a transport in order: while a frozen client does not fetch what was sent, such a transport
stays. And at the end of the server uvicorn closes all connections at one moment. Here every closing of a
registered connection ends in an abort when time is up, and the end of the server begins the shim's drain.
What is not registered is left to uvicorn, its own pings included.

uvicorn promises none of the members that are used here: tests/asgi/test_uvicorn.py pins each.

Rules: docs/design.md#r2, docs/design.md#r3.
"""

from collections.abc import Callable, Coroutine
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Protocol
from weakref import ref

from uvicorn import __version__
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from shim.embedding.frames import see_frame
from shim.model import Duration, seconds
from shim.runtime.live_connection import LiveConnection
from shim.runtime.tcp_info import abort_transport

EXTENSION = "shim"
"""`scope["extensions"][EXTENSION]["protocol"]` is a weak reference to the protocol of the connection."""

_MOST_AHEAD = 16
_LARGEST_AHEAD = 4096
"""So many messages, of at most so many bytes each, are read before the application takes the first one.

uvicorn itself reads one message, and goes on when the application has taken it: while the application is
busy, the pongs behind that message would not be seen.
"""

_MOST_UNSENT = 32 * 1024
"""While more bytes wait to be sent, pings are not answered. asyncio's own limit is 512 KiB with TLS."""

_REPLACED = (
    "run_asgi",
    "send",
    "send_receive_event_to_app",
    "handle_ping",
    "handle_close",
    "resume_writing",
    "shutdown",
    "stop_keepalive",
)
for _name in _REPLACED:
    if not hasattr(WebSocketsSansIOProtocol, _name):
        raise ImportError(f"shim.asgi does not know uvicorn {__version__}, which has no {_name}")


class Draining(Protocol):
    """What a registered connection needs of the shim."""

    close_timeout: Duration

    def begin_drain(self) -> None:
        """The server ends."""

    def call_after(self, delay: Duration, callback: Callable[[], None]) -> None:
        """Call back in about `delay` microseconds; after a pause what came meanwhile is read before."""


class WatchedProtocol(ServerProtocol):
    """The `conn` of a registered connection: each frame is seen when uvicorn reads it."""

    live: LiveConnection

    def events_received(self) -> list[Any]:
        events = super().events_received()
        live = self.live
        for event in events:
            see_frame(live, event)
        return events


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.run(app, ws="shim.asgi:WebSocketProtocol")`.

    `live` is there from the registration to the end of the transport.
    """

    live: LiveConnection | None = None
    _application: Coroutine[Any, Any, None]
    _shim: Draining
    _pong: bytes | None = None

    # -- What the shim needs -----------------------------------------------------------------------

    @property
    def is_accepted(self) -> bool:
        """Whether the application has accepted the WebSocket; so it stays when the connection has ended."""
        return self.handshake_complete and self.conn.state is not State.CONNECTING

    def watch(self, live: LiveConnection, shim: Draining) -> None:
        """Tell this live connection of each frame, and of the end, from now on."""
        if self.disconnected:
            live.release()
            return
        self.stop_keepalive()
        self.transport.set_write_buffer_limits(_MOST_UNSENT)
        self.live, self._shim = live, shim
        # To change the class costs a connection nothing; a function of its own would take 350 bytes.
        self.conn.__class__ = WatchedProtocol
        self.conn.live = live  # type: ignore[attr-defined]

    def write_ping(self, payload: bytes) -> None:
        """Send a ping of at most 125 bytes (RFC 6455 section 5.5.2); after a close frame nothing is sent."""
        if self.conn.state is State.OPEN:
            self.transport.write(bytes((0x89, len(payload))) + payload)

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        """Send the close frame, if there was none, and abort the transport `timeout` microseconds later.

        For the application the connection has ended with this code.
        """
        if self.conn.state is State.OPEN:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = self.disconnected = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()  # the reply has to be read
        self._abort_after(timeout)

    def abort(self) -> None:
        abort_transport(self.transport)

    def _abort_after(self, timeout: Duration) -> None:
        """uvicorn cancels the timer when the closing handshake is complete, or the transport has ended."""
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(seconds(timeout), self._give_up)

    def _give_up(self) -> None:
        """The reply may have come during a pause of the process (R3)."""
        self._shim.call_after(0, self.abort)

    # -- What uvicorn calls ------------------------------------------------------------------------

    def run_asgi(self) -> Coroutine[Any, Any, None]:
        # Weak, because the protocol has the scope: the two would wait for Python's collector.
        self.scope["extensions"][EXTENSION] = {"protocol": ref(self)}
        self._application = super().run_asgi()
        return self._application

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if self.live is not None and message["type"] == "websocket.close":
            return self._close(self.live, message)
        return super().send(message)

    async def _close(self, live: LiveConnection, message: Any) -> None:
        """uvicorn waits until the client has fetched what was sent; a frozen client never does."""
        live.close_by_application(message.get("code", 1000), message.get("reason") or "")

    def send_receive_event_to_app(self) -> None:
        reads_ahead = (
            self.live is not None
            and not self.read_paused
            and self.queue.qsize() < _MOST_AHEAD
            and len(self.frames) == 1
            and len(self.frames[0]) <= _LARGEST_AHEAD
        )
        if reads_ahead:
            self.read_paused = True  # so uvicorn does not pause the transport
        super().send_receive_event_to_app()
        if reads_ahead:
            self.read_paused = False

    def handle_ping(self) -> None:
        """While the client fetches nothing, only the latest ping will be answered (RFC 6455 section 5.5.3)."""
        pongs = self.conn.data_to_send()
        if self.close_sent or not pongs:
            return
        if self.conn.state is State.OPEN and not self.writable.is_set():
            self._pong = pongs[-1]
        else:
            self.transport.write(b"".join(pongs))

    def resume_writing(self) -> None:
        super().resume_writing()
        pong, self._pong = self._pong, None
        if pong is not None and self.conn.state is State.OPEN:
            self.transport.write(pong)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        if self.live is not None and self.transport.get_write_buffer_size():
            self._abort_after(self._shim.close_timeout)

    def shutdown(self) -> None:
        if self.live is None:
            super().shutdown()
        else:
            self._shim.begin_drain()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        live, self.live = self.live, None
        if live is not None:
            self.conn.__class__ = ServerProtocol
            del self.conn.live  # type: ignore[attr-defined]
            # uvicorn closes without a close frame when the application returns and leaves the WebSocket open.
            returned = getcoroutinestate(self._application) is CORO_CLOSED
            live.release(by_application=returned and self.conn.close_rcvd is None)
