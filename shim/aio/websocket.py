"""An aiohttp WebSocket whose closing is bounded, and on which nothing follows a close frame.

aiohttp's `close()` drains the send buffer outside its timeout, and lets the application send after a
close frame. Here the close frame is written to the transport, the reply is seen where frames are read,
and the transport is aborted when time is up.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from shim.aio.first_message_gate import FirstMessageGate
from shim.aio.frame_queue import ARRIVED, CONCURRENT, FrameQueue, begin_to_read
from shim.model import SECOND, Duration, from_seconds
from shim.runtime.live_connection import LiveConnection
from shim.runtime.tcp_info import abort_transport, below_tls

_CLOSE_TIMEOUT = 5.0
"""Seconds, as aiohttp's `timeout`."""

_LONGEST_REASON = 123
"""Bytes: a control frame carries 125, two of them the code (RFC 6455 section 5.5)."""

_MOST_UNSENT = 16 * 1024
"""While more bytes wait to be sent, pings are not answered; then the latest is (RFC 6455 section 5.5.3)."""

_MOST_IGNORED = 4 * 1024 * 1024
"""Bytes, inflated, that a client with compression may send after the service's close frame."""

_PONG_LATER: Duration = SECOND // 2

CallAfter = Callable[[Duration, Callable[[], None]], None]


class WebSocket(web.WebSocketResponse):
    """Made by `Shim.websocket()`; for the application a `web.WebSocketResponse` like any other.

    `timeout` bounds the closing handshake (5 s unless the application says otherwise). There is no
    `heartbeat`: the monitors ping. With `autoping=False` the application gets the client's pings and pongs,
    those that answer the monitors' pings included, and answers the pings itself.

    With `first_message_size` the client's first message has to come within so many bytes, and nothing more is
    read before `admit()`.
    """

    # Defaults of the class, as aiohttp has them: most sockets never need one of their own.
    _over: asyncio.Event | None = None
    _unanswered: bytes | None = None
    _carrier: asyncio.Transport | None = None
    """The transport, or the one below TLS, while it is closing."""
    close_sent: tuple[int, str] | None = None
    close_received: int | None = None
    aborted: bool = False
    _first_message_size: int | None = None
    _gate: FirstMessageGate | None = None
    _ignored: int = 0
    _reader: FrameQueue | None

    def __init__(
        self, call_after: CallAfter, *, first_message_size: int | None = None, **options: Any
    ) -> None:
        if options.get("heartbeat") is not None:
            raise ValueError("heartbeat: the monitors of the shim ping; leave it out")
        super().__init__(**{"timeout": _CLOSE_TIMEOUT, **options})
        self._call_after = call_after
        if first_message_size is not None:
            self._first_message_size = first_message_size

    def _post_start(self, *args: Any) -> None:
        if self._first_message_size is None:
            begin_to_read(self, *args)
        else:
            begin_to_read(self, *args, gate=self._make_gate)

    def _make_gate(self, queue: FrameQueue, reader: Any) -> FirstMessageGate:
        assert self._first_message_size is not None
        self._gate = FirstMessageGate(self._first_message_size, queue, reader)
        return self._gate

    def admit(self) -> None:
        """The client has introduced itself: its messages may be as long as `max_msg_size`."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.open()

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport, while it is there."""
        return self._req.transport if self._req is not None else None

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the transport still there."""
        return self.prepared and not self.closed and self.transport is not None

    def watch(self, listener: LiveConnection) -> None:
        """Tell this live connection of each frame, and of the end, from now on."""
        assert self._reader is not None
        if self._reader.owner is None:
            listener.release()
        else:
            self._reader.listener = listener

    # -- Control frames ---------------------------------------------------------------------------

    def write_frame(self, opcode: WSMsgType, payload: bytes) -> bool:
        """Write one control frame (RFC 6455 section 5.5) without waiting; False: too late for that."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.close_sent is not None:
            return False
        transport.write(bytes((0x80 | opcode, len(payload))) + payload)
        return True

    def control_frame(self, kind: WSMsgType, payload: bytes) -> bool:
        """A ping or a pong was read; answers whether the application wants to have it.

        After a close frame of the peer nothing is answered (RFC 6455 section 5.5.2).
        """
        if not self._autoping:
            return True
        if kind is WSMsgType.PING and self.close_received is None:
            waits = self._unanswered is not None
            self._unanswered = payload
            if not waits:
                self._answer_ping()
        return False

    def _answer_ping(self) -> None:
        """Answer the latest ping, once the peer has fetched what was sent before."""
        transport, payload = self.transport, self._unanswered
        assert payload is not None
        if transport is not None and transport.get_write_buffer_size() > _MOST_UNSENT:
            self._call_after(_PONG_LATER, self._answer_ping)
        else:
            del self._unanswered
            self.write_frame(WSMsgType.PONG, payload)

    # -- Closing ----------------------------------------------------------------------------------

    def begin_close(self, code: int, reason: str, timeout: Duration | None = None) -> None:
        """Write the close frame and see to it that the transport is gone `timeout` later.

        Of the reason there is as much as a close frame can carry.
        """
        text = reason.encode(errors="replace")[:_LONGEST_REASON].decode(errors="ignore")
        # Also if it is too late for the frame: the peer has closed, and may fetch nothing more.
        self._give_up_after(timeout)
        if not self.write_frame(WSMsgType.CLOSE, struct.pack("!H", code) + text.encode()):
            return
        self.close_sent = (code, text)
        assert self._writer is not None
        self._writer.transport = _NOTHING_FOLLOWS
        if self.close_received is not None:
            self._end()

    def _give_up_after(self, timeout: Duration | None = None) -> None:
        self._call_after(from_seconds(self._timeout) if timeout is None else timeout, self._give_up)

    def _give_up(self) -> None:
        """No reply to the close frame came in time, or the peer does not fetch what was sent."""
        if self.transport is not None and not self._closed:
            self._exception = self._exception or TimeoutError("no close frame came in time")
        self.abort()

    def abort(self) -> None:
        """End the transport now, also with a full send buffer; nothing happens if it has ended."""
        transport = self._carrier or self.transport
        if transport is not None:
            self.aborted = True
            # Before aiohttp learns of the end: it may cancel the handler then.
            self._tell_over()
            abort_transport(transport)

    def ignore(self, size: int) -> None:
        """A message came after the close frame. To inflate such messages without end costs too much."""
        self._ignored += size
        if self._compress and self._ignored > _MOST_IGNORED:
            self.abort()

    def peer_closed(self, code: int) -> None:
        """The peer's close frame was read: the reply to ours, or to be replied to once it is received."""
        self.close_received = code
        if self.close_sent is not None:
            self._end()

    def transport_ended(self) -> None:
        self._carrier = None
        self._tell_over()

    def _end(self) -> None:
        """The handshake is over: flush and close the transport, by force if that takes long."""
        if self._closed:
            return
        self._set_closed()
        self._parser = None  # frames that wait in it are not wanted any more
        received = self.close_received
        self._close_code = WSCloseCode.ABNORMAL_CLOSURE if received is None else received
        # Before aiohttp learns of the end: it may cancel the handler then.
        self._tell_over()
        transport = self.transport
        if transport is not None:
            self._carrier = below_tls(transport)
            transport.close()
            if self.close_sent is None:
                self._give_up_after()

    def _tell_over(self) -> None:
        if self._over is not None:
            self._over.set()

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes | str = b"", drain: bool = True
    ) -> bool:
        """Close from the application's side, bounded whatever the peer and the send buffer do."""
        if self._writer is None:
            raise RuntimeError("Call .prepare() first")
        if self._closed:
            return False
        received, reader = self.close_received, self._reader
        if received is not None:
            # The reply has the peer's code, unless the application says otherwise.
            if code == WSCloseCode.OK and received in _SENDABLE:
                code = received
            self.write_frame(WSMsgType.CLOSE, struct.pack("!H", code))
        else:
            reason = message if isinstance(message, str) else message.decode(errors="replace")
            self.begin_close(code, reason)
            # A reply comes only to a frame that was sent, and while the transport is read.
            waits = self.close_sent is not None and not self.aborted
            if waits and reader is not None and not reader.ended:
                if self._waiting or reader.is_awaited:
                    reader.interrupt()
                self._over = self._over or asyncio.Event()
                await self._over.wait()
        self._end()
        return True

    # -- Receiving --------------------------------------------------------------------------------

    def wait_for_frame(self) -> Awaitable[None]:
        """To be awaited before `WebSocketResponse.receive`, which has to wait for nothing then."""
        reader = self._reader
        if reader is None or self._closed or self._closing or self._receive_timeout:
            return ARRIVED
        if self._waiting:
            raise RuntimeError(CONCURRENT)
        return reader.wait_for_frame()

    async def receive(self, timeout: float | None = None) -> Any:
        if not timeout:
            await self.wait_for_frame()
        elif self._reader is not None and self._reader.is_awaited:
            raise RuntimeError(CONCURRENT)
        return await super().receive(timeout)

    async def __anext__(self) -> WSMessage:
        await self.wait_for_frame()
        message: WSMessage = await super().receive()
        if message.type in _LAST:
            raise StopAsyncIteration
        return message


class _ClosingTransport(asyncio.Transport):
    """Given to aiohttp's writer after the close frame: the writer raises an error instead of writing.

    So it does with a message that a thread was compressing when the close frame was sent.
    """

    def is_closing(self) -> bool:
        return True


_NOTHING_FOLLOWS = _ClosingTransport()
_LAST = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
_SENDABLE = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)))
