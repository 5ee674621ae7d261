"""A client that comes and goes, and writes down what happens to it: the truth of the fleet's tests.

A client knows nothing of processes. It notes, by the time of day, when it asked for a connection and had it,
when it sent its last signs of life, and when and how the connection ended.
"""

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

PACKAGE = "com.example.app1"
CLOSE_CODE = 4000
"""The candidate's, in the settings of these tests."""

_HOST = "127.0.0.1"
_HELLO = (
    b"GET /app-ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_CLOSE_WAIT, _CLOSED = 8, 7
_LOOK_EVERY = 0.02
_SIGNS_KEPT = 16
_PATIENCE = 60
"""Seconds until an attempt to connect is given up."""


def _began_at() -> float:
    """The time of day at 0 of the monotonic clock, by the quickest of many readings of both."""
    readings = []
    for _ in range(100):
        before = time.monotonic()
        day = time.time()
        readings.append((time.monotonic() - before, day - before))
    return min(readings)[1]


_BEGAN_AT = _began_at()


def now() -> float:
    """The time of day in seconds; a jump of the clock while the test runs changes nothing."""
    return _BEGAN_AT + time.monotonic()


class End(StrEnum):
    """How a connection ended: by the candidate's close code, cut without a word, closed by the service for
    another reason (such as a newer connection of this client), or by the client itself."""

    TIMED_OUT = "timed out"
    CUT = "cut"
    SERVICE = "service"
    LEFT = "left"


@dataclass(slots=True, eq=False)
class Stay:
    """One connection as its client knows it. Times are seconds of the day; None: not yet.

    Attributes:
        asked_at: when it began to introduce itself.
        open_at: when it was acknowledged.
        signs: when it sent its last signs of life, the introduction included.
        ended_at: when the client saw the end; for `LEFT` when it began to leave.
        gone_at: when the connection was gone after it had left.
    """

    user: str
    asked_at: float
    open_at: float | None = None
    signs: deque[float] = field(default_factory=lambda: deque(maxlen=_SIGNS_KEPT))
    ended_at: float | None = None
    end: End | None = None
    gone_at: float | None = None


class RoamingConnection(asyncio.Protocol):
    """A WebSocket that answers pings, until it is told to be mute, or to freeze."""

    def __init__(self, user: str, package: str, connected: socket.socket) -> None:
        self._package = package
        self._socket = connected
        self._rest = b""
        self._upgraded = False
        self._answers = True
        self._looking: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self.stay = Stay(user, now())
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()

    # -- What the client does -----------------------------------------------------------------------

    def be_mute(self) -> None:
        """Read on, and answer nothing."""
        self._answers = False

    def freeze(self) -> None:
        """Read nothing any more; only the test looks at what has arrived."""
        self._answers = False
        self._transport.pause_reading()
        self._looking = asyncio.ensure_future(self._look())

    def prove_life(self) -> None:
        """Send a message."""
        self._send(_TEXT, b'{"type":"heartbeat"}')

    def answer_close(self) -> None:
        """Finish the closing handshake, as a client does that was only busy."""
        self._transport.write(_frame(_CLOSE, (1000).to_bytes(2)))

    def leave(self, *, politely: bool) -> None:
        """Close, or cut the connection without a word."""
        if self.stay.end is None:
            self._note_end(End.LEFT)
        if politely:
            self._transport.write(_frame(_CLOSE, (1000).to_bytes(2)))
        else:
            self._transport.abort()

    def _send(self, kind: int, payload: bytes) -> None:
        self.stay.signs.append(now())
        self._transport.write(_frame(kind, payload))

    # -- What happens to it -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HELLO)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._transport.abort()
                return
            self._upgraded = True
            self._introduce()
        self._rest = self._read_frames(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"{self.stay.user}: no connection"))
        self.stay.gone_at = now()
        self.gone.set_result(None)
        self._note_end(End.CUT)

    def _introduce(self) -> None:
        self.stay.asked_at = now()
        init = {"type": "tpa_connection_init", "packageName": self._package, "apiKey": "dev"}
        init["sessionId"] = f"{self.stay.user}-{self._package}"
        self._send(_TEXT, json.dumps(init).encode())

    def _read_frames(self, data: bytes) -> bytes:
        """Read whole frames, which servers do not mask; what is left."""
        while len(data) >= 4:
            start = 2 if data[1] < 126 else 4
            size = start + (data[1] if start == 2 else int.from_bytes(data[2:4]))
            if len(data) < size:
                break
            self._frame_arrived(data[0], data[start:size])
            data = data[size:]
        return data

    def _frame_arrived(self, kind: int, payload: bytes) -> None:
        if kind == _CLOSE:
            code = int.from_bytes(payload[:2])
            self._note_end(End.TIMED_OUT if code == CLOSE_CODE else End.SERVICE)
        elif kind == _PING and self._answers and self.stay.end is None:
            self._send(_PONG, payload)
        elif not self.opened.done():
            self.stay.open_at = now()
            self.opened.set_result(None)

    def _note_end(self, end: End) -> None:
        if self.stay.end is None:
            self.stay.end, self.stay.ended_at = end, now()
        if not self.ended.done():
            self.ended.set_result(None)

    async def _look(self) -> None:
        """See the end of a connection that nobody reads: a glance at what waits takes nothing away."""
        while self.stay.end is None:
            try:
                waiting = self._socket.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                waiting = b""
            except OSError:
                self._note_end(End.CUT)
                return
            self._read_frames(self._rest + waiting)
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            if info[0] in (_CLOSE_WAIT, _CLOSED):
                self._note_end(End.CUT)
            await asyncio.sleep(_LOOK_EVERY)


def _frame(kind: int, payload: bytes) -> bytes:
    """A client's frame; a mask of zeros leaves the payload as it is."""
    assert len(payload) < 1 << 16
    length = (
        bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    )
    return bytes((kind,)) + length + bytes(4) + payload


async def connect(user: str, port: int, package: str = PACKAGE) -> RoamingConnection:
    """A connection that is acknowledged. Raises ConnectionError or TimeoutError."""
    loop = asyncio.get_running_loop()
    connected = socket.socket()
    connected.setblocking(False)
    async with asyncio.timeout(_PATIENCE):
        try:
            await loop.sock_connect(connected, (_HOST, port))
            _, connection = await loop.create_connection(
                lambda: RoamingConnection(user, package, connected), sock=connected
            )
        except BaseException:
            connected.close()
            raise
        try:
            await connection.opened
        except BaseException:
            connection.leave(politely=False)
            raise
    return connection


async def leave_all(connections: Collection[RoamingConnection]) -> None:
    """Cut these connections; afterwards nothing of them is left."""
    for connection in connections:
        connection.leave(politely=False)
    await asyncio.gather(*(connection.gone for connection in connections))
