"""An aiohttp WebSocket whose closing is bounded, and on which nothing follows a close frame.

aiohttp's `close()` drains the send buffer outside its timeout, returns at once while a `receive()` is
pending, and lets the application send after a close frame. Here the close frame is written to the
transport, the handshake is read on until the reply, and the transport is aborted when time is up.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from shim.model import SECOND, Duration, Time

_CLOSE_TIMEOUT: Duration = 5 * SECOND
CallAt = Callable[[Time, Callable[[], None]], None]


class WebSocket(web.WebSocketResponse):
    """Made by `Shim.websocket()`; for the application a `web.WebSocketResponse` like any other."""

    # Defaults of the class, as aiohttp has them: most sockets never need one of their own.
    _gone: asyncio.Event | None = None
    close_sent: tuple[int, str] | None = None
    close_received: int | None = None
    aborted: bool = False
    receiving: bool = False
    """Whether somebody is in `receive()`, be it in what follows the waiting."""

    def __init__(self, clock: Callable[[], Time], call_at: CallAt, **options: Any) -> None:
        super().__init__(**{**options, "autoping": False, "autoclose": False, "heartbeat": None})
        self._clock = clock
        self._call_at = call_at

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport, while it is there."""
        return self._req.transport if self._req is not None else None

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the transport still there."""
        return self.prepared and not self.closed and self.transport is not None

    def write_frame(self, opcode: WSMsgType, payload: bytes) -> bool:
        """Write one control frame (RFC 6455 section 5.5) without waiting; False: too late for that."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.close_sent is not None:
            return False
        transport.write(bytes((0x80 | opcode, len(payload))) + payload)
        return True

    def begin_close(self, code: int, reason: str, timeout: Duration | None = None) -> None:
        """Write the close frame and see to it that the transport is gone `timeout` later."""
        payload = struct.pack("!H", code) + reason.encode()
        if not self.write_frame(WSMsgType.CLOSE, payload):
            return
        self.close_sent = (code, reason)
        timeout = _CLOSE_TIMEOUT if timeout is None else timeout
        self._call_at(self._clock() + timeout, self.abort)

    def abort(self) -> None:
        """End the transport now, also with a full send buffer; nothing happens if it has ended."""
        transport = self.transport
        if transport is not None and not self._closed:
            self.aborted = True
            transport.abort()

    def peer_closed(self, code: int) -> None:
        """The peer's close frame came: a reply, or to be replied to (RFC 6455 section 5.5.1)."""
        self.close_received = code
        if self.close_sent is None:
            sendable = code in range(3000, 5000) or code in (
                1000,
                1001,
                1002,
                1003,
                *range(1007, 1015),
            )
            self.write_frame(WSMsgType.CLOSE, struct.pack("!H", code if sendable else 1000))
        self._end()

    def _end(self) -> None:
        """The handshake is over: flush and close the transport, by force if that takes long."""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.close()
            self._call_at(self._clock() + _CLOSE_TIMEOUT, transport.abort)
        self._closed = True
        if self._gone is not None:
            self._gone.set()

    async def receive(self, timeout: float | None = None) -> Any:
        self.receiving = True
        try:
            return await super().receive(timeout)
        finally:
            self.receiving = False

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Close from the application's side, bounded whatever the peer and the send buffer do."""
        if self._writer is None:
            raise RuntimeError("Call .prepare() first")
        if self._closed:
            return False
        self.begin_close(code, message.decode(errors="replace"))
        if self._waiting:
            # Another task receives: it meets the reply.
            self._gone = self._gone or asyncio.Event()
            await self._gone.wait()
        elif not self.receiving:
            await self._await_reply()
        self._end()
        return True

    async def _await_reply(self) -> None:
        while not self._closing and not self._closed:
            message = await self.receive()
            if message.type is WSMsgType.CLOSE:
                self.close_received = message.data
            if message.type in _LAST:
                return

    async def send_frame(
        self, message: bytes, opcode: WSMsgType, compress: int | None = None
    ) -> None:
        self._refuse_after_close()
        await super().send_frame(message, opcode, compress)

    async def send_str(self, data: str, compress: int | None = None) -> None:
        self._refuse_after_close()
        await super().send_str(data, compress)

    async def send_bytes(self, data: bytes, compress: int | None = None) -> None:
        self._refuse_after_close()
        await super().send_bytes(data, compress)

    async def ping(self, message: bytes = b"") -> None:
        self._refuse_after_close()
        await super().ping(message)

    async def pong(self, message: bytes = b"") -> None:
        self._refuse_after_close()
        await super().pong(message)

    def _refuse_after_close(self) -> None:
        if self.close_sent is not None:
            raise ClientConnectionResetError("the connection is being closed")


_LAST = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
