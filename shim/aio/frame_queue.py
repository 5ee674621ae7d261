"""The queue between aiohttp's WebSocket reader and `receive()`, in which each frame is seen as it is read.

aiohttp reads a frame when the transport has the bytes, however the handler receives, and whether or not it
receives at all. So this is the one place where signs of life come in.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Generator
from functools import partial
from types import FunctionType
from typing import Any, Protocol

from aiohttp import WSMessage, WSMsgType, web, web_ws
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WS_CLOSING_MESSAGE

from shim.aio.first_message_gate import FirstMessageGate
from shim.runtime.live_connection import LiveConnection

_TEXT, _BINARY, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CLOSE
_CONTROL = (WSMsgType.PING, WSMsgType.PONG)


class Owner(Protocol):
    """The WebSocket of the queue."""

    close_sent: tuple[int, str] | None

    def ignore(self, size: int) -> None:
        """A message of this size came after the close frame, and goes nowhere."""

    def control_frame(self, kind: WSMsgType, payload: bytes) -> bool:
        """A ping or a pong was read; answers whether the application wants to have it."""

    def peer_closed(self, code: int) -> None:
        """The peer's close frame was read."""

    def transport_ended(self) -> None: ...


class Arrived:
    """To be awaited where there is nothing to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


ARRIVED = Arrived()
CONCURRENT = "Concurrent call to receive() is not allowed"


class FrameQueue(WebSocketDataQueue):
    """`owner` is None once the transport has ended; so no cycle keeps the two alive.

    `ended`: no frame comes any more, because the transport has ended or the peer broke the protocol.
    """

    __slots__ = ("_arrival", "ended", "listener", "owner")

    def __init__(self, owner: Owner, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.owner: Owner | None = owner
        self.listener: LiveConnection | FirstMessageGate | None = None
        """Learns of each frame: the live connection, as soon as there is one."""
        self.ended = False
        self._arrival: Future[None] | None = None

    def feed_data(self, data: WSMessage, size: int) -> None:  # type: ignore[override]
        owner, listener, kind = self.owner, self.listener, data[0]
        if owner is None:
            # The reader had stalled, and goes on while the handler fetches what came before the end.
            if kind not in _CONTROL:
                _feed_data(self, data, size)
            return
        if kind is _TEXT or kind is _BINARY:
            if listener is not None:
                listener.touch(listener.tracked)
            if owner.close_sent is not None:
                owner.ignore(size)
                return  # after its close frame the application gets nothing any more
        elif kind in _CONTROL:
            if listener is not None:
                if kind is WSMsgType.PONG:
                    listener.saw_pong(bytes(data[1]))
                else:
                    listener.saw_ping()
            if not owner.control_frame(kind, bytes(data[1])):
                return
        elif kind is _CLOSE:
            if listener is not None:
                listener.saw_close()
            owner.peer_closed(data[1])
        _feed_data(self, data, size)
        if self._arrival is not None:
            self._wake()

    def feed_eof(self) -> None:
        """The transport has ended."""
        super().feed_eof()
        self.ended = True
        self._wake()
        owner, listener = self.owner, self.listener
        self.owner = self.listener = None
        if owner is not None:
            owner.transport_ended()
        if listener is not None:
            listener.release()

    def set_exception(self, *args: Any) -> None:
        """What was read breaks the protocol: nothing is read any more."""
        super().set_exception(*args)
        self.ended = True
        self._wake()

    def wait_for_frame(self) -> "Future[None] | Arrived":
        """To be awaited by the one that receives: there is a frame then, or the end.

        aiohttp's own waiting is a coroutine within a coroutine: two objects more for each idle
        connection.
        """
        if self._buffer or self.ended:
            return ARRIVED
        if self.is_awaited:
            raise RuntimeError(CONCURRENT)
        self._arrival = asyncio.get_running_loop().create_future()
        return self._arrival

    def interrupt(self) -> None:
        """Another task closes: whoever receives learns of it now, and waits for no reply."""
        _feed_data(self, WS_CLOSING_MESSAGE, 0)
        self._wake()

    @property
    def is_awaited(self) -> bool:
        return self._arrival is not None and not self._arrival.done()

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None and not arrival.done():
            arrival.set_result(None)


_feed_data = WebSocketDataQueue.feed_data
"""Faster than `super()`, which each message would pay."""

_begin_to_read = web.WebSocketResponse._post_start
_NAMES = {
    name: value for name, value in vars(web_ws).items() if name in _begin_to_read.__code__.co_names
}
_QUEUE, _READER = "WebSocketDataQueue", "WebSocketReader"
if _QUEUE not in _NAMES or _READER not in _NAMES:
    raise ImportError("shim.aio does not know this version of aiohttp")


def begin_to_read(
    websocket: Any, *args: Any, gate: Callable[[FrameQueue, Any], Any] | None = None
) -> None:
    """What aiohttp does after the handshake, but with a queue that sees the frames.

    aiohttp makes its queue and its reader there, by names of its module, and has no argument for others.
    `gate` may put something before the reader.
    """
    names = {**_NAMES, _QUEUE: partial(FrameQueue, websocket)}
    if gate is not None:

        def gated(queue: FrameQueue, *args: Any, **options: Any) -> Any:
            return gate(queue, _NAMES[_READER](queue, *args, **options))

        names[_READER] = gated
    FunctionType(_begin_to_read.__code__, names)(websocket, *args)
