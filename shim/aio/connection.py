"""A live connection: the port through which effects reach a real WebSocket, and what is read from it."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from aiohttp import WSMessage, WSMsgType

from shim.aio.kernel import evidence
from shim.aio.websocket import WebSocket
from shim.model import Cause, Close, Connection, Evidence
from shim.router import NO_EVIDENCE, Tracked

if TYPE_CHECKING:
    from shim.aio.shim import Shim
    from shim.sessions import Session

log = logging.getLogger("shim")
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class LiveConnection:
    """Iterate over it for the client's data messages; it is a context manager, too.

    `touch` is the per-message call, for applications that read the socket themselves.
    """

    __slots__ = (
        "_released",
        "_shim",
        "cause",
        "connection",
        "session",
        "touch",
        "tracked",
        "websocket",
    )

    connection: Connection
    session: "Session[LiveConnection]"
    tracked: Tracked
    touch: Callable[[], None]

    def __init__(self, shim: "Shim", websocket: WebSocket) -> None:
        self.websocket = websocket
        self.cause: Cause | None = None
        self._shim = shim
        self._released = False

    # -- Port -------------------------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        self.websocket.write_frame(WSMsgType.PING, payload)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "[User: %s] Heartbeat sent to %s [%s]",
                self.connection.user,
                self.connection.package or "unknown",
                payload.decode("ascii", "replace"),
            )

    def close(self, close: Close) -> None:
        self.cause = self._closing_monitor()
        try:
            self.websocket.begin_close(close.code, close.reason, close.timeout)
        except Exception:
            log.exception("Error closing timed out connection")
            self.websocket.abort()

    def terminate(self) -> None:
        self.cause = self._closing_monitor()
        self.websocket.abort()

    def forget(self) -> None:
        self.session.forget(self)

    def confirm(self) -> Evidence:
        transport = self.websocket.transport
        if transport is None or transport.is_closing():
            return NO_EVIDENCE
        return evidence(
            transport.get_extra_info("socket"), self._shim.clock(), not _is_reading(transport)
        )

    # -- For the application ----------------------------------------------------------------------

    async def __aenter__(self) -> "LiveConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    async def __aiter__(self) -> AsyncIterator[WSMessage]:
        """The data messages, until the connection ends; pings are answered, pongs are seen."""
        websocket, touch = self.websocket, self.touch
        while True:
            message = await websocket.receive()
            kind = message.type
            if kind in _DATA:
                touch()
                if websocket.close_sent is None:
                    yield message
            elif kind is WSMsgType.PONG:
                touch()
                self._shim.pong(self.tracked, bytes(message.data))
            elif kind is WSMsgType.PING:
                websocket.write_frame(WSMsgType.PONG, bytes(message.data))
                self._shim.data(self.tracked)
            else:
                if kind is WSMsgType.CLOSE:
                    if websocket.close_sent is not None:
                        self._shim.spoke_after_close(self.tracked)
                    websocket.peer_closed(message.data)
                break
        self.release()

    @property
    def codes(self) -> tuple[int | None, int | None]:
        """The codes of the close frames that were sent and that came, as far as there were any."""
        sent = self.websocket.close_sent
        return None if sent is None else sent[0], self.websocket.close_received

    def abort(self) -> None:
        """End the transport now; nothing happens if it has ended."""
        self.websocket.abort()

    def close_by_application(self, code: int, reason: str) -> None:
        """Begin to close for a reason of the service's own; bounded as every closing is."""
        self.cause = self.cause or Cause.APPLICATION
        self.websocket.begin_close(code, reason)
        self._shim.gone(self)

    def _closing_monitor(self) -> Cause:
        assert self.tracked.closed_by is not None
        return Cause(self.tracked.closed_by.value)

    def release(self) -> None:
        """The socket has ended, or the handler has: nobody watches it any more."""
        if self._released:
            return
        self._released = True
        if self.cause is None:
            sent = self.websocket.close_sent
            self.cause = Cause.PEER if sent is None else Cause.APPLICATION
        self._shim.gone(self)
        self._shim.released(self)


def _is_reading(transport: object) -> bool:
    is_reading = getattr(transport, "is_reading", None)
    return True if is_reading is None else bool(is_reading())
