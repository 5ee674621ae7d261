"""What a peer may send before the service knows who it is."""

from typing import Any

from aiohttp import WSCloseCode
from aiohttp._websocket.reader import WebSocketReader
from aiohttp.http import WebSocketError


class FirstMessageGate:
    """Stands before the reader of a connection: the first message has to come within `size` bytes.

    What comes after these bytes waits, and nothing more is read, until `open`. A first message that is longer
    ends the connection with 1009. Until somebody else listens, the gate is told of each frame by the queue.
    """

    __slots__ = ("_arrived", "_held", "_left", "_queue", "_reader", "tracked")

    def __init__(self, size: int, queue: Any, reader: WebSocketReader) -> None:
        self._left = size
        self._queue = queue
        self._reader = reader
        self._held = b""
        self._arrived = False
        self.tracked: Any = None
        queue.listener = self

    # -- In the place of the reader -------------------------------------------------------------------

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Answers whether nothing is to be read any more, and what belongs to no frame."""
        passing, waiting = data[: self._left], data[self._left :]
        self._left -= len(passing)
        ended, tail = self._reader.feed_data(passing) if passing else (False, b"")
        if waiting and not ended:
            if not self._arrived:
                too_big = "the first message is too long"
                self._queue.set_exception(WebSocketError(WSCloseCode.MESSAGE_TOO_BIG, too_big))
                return True, b""
            self._held += waiting
            self._queue._protocol.pause_reading()
        return ended, tail

    def feed_eof(self) -> None:
        self._reader.feed_eof()

    def open(self) -> None:
        """Let through what waits, and take the gate away."""
        protocol = self._queue._protocol
        if protocol._payload_parser is not self:
            return  # the transport has ended
        protocol._payload_parser = self._reader
        if self._held:
            ended, _ = self._reader.feed_data(self._held)
            if ended:
                protocol.close()
            else:
                protocol.resume_reading()  # a full queue pauses again

    # -- In the place of a live connection ------------------------------------------------------------

    def touch(self, tracked: Any) -> None:
        self._arrived = True

    def saw_pong(self, payload: bytes) -> None: ...

    def saw_ping(self) -> None: ...

    def saw_close(self) -> None:
        self._arrived = True

    def release(self) -> None: ...
