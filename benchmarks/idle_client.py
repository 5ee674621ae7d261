"""The client process of `connections.py` and `storm.py`: holds connections open and answers pings.

Each client has a number, by which the server knows the client again.
"""

import asyncio
import math

from benchmarks.connections import HEARTBEAT
from benchmarks.processes import Command, answer, run_child

ARRIVALS = 1_500
"""So many connections come in one heartbeat interval, at most, evenly spread over whole intervals:
the libraries ping in the rhythm of the arrivals, and bunched pings share a run of the loop."""

AT_ONCE = 50
"""Handshakes in flight."""

_HELLO = (
    b"GET /?%d HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_NO_MASK = bytes(4)
"""A mask of zeros leaves the payload as it is."""


class _Client(asyncio.Protocol):
    """A peer that answers pings and close frames, all of them unfragmented and of at most 125 bytes."""

    __slots__ = ("_number", "_rest", "_transport", "answered", "ended")
    pings = 0

    def __init__(self, number: int) -> None:
        self._number = number
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HELLO % self._number)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionError("the handshake failed"))
        self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not self.answered.done():
            head, end, rest = data.partition(b"\r\n\r\n")
            if not (end and rest):
                self._rest = data
                return
            if not head.startswith(b"HTTP/1.1 101 ") or rest[0] != _TEXT:
                self._transport.abort()
                return
            self.answered.set_result(None)
            data = rest
        while len(data) >= 2 and len(data) >= (size := 2 + data[1]):
            if data[0] == _PING:
                self._write(0x8A, data[2:size])
                _Client.pings += 1
            elif data[0] == _CLOSE:
                self._write(_CLOSE, data[2:size])
            data = data[size:]
        self._rest = data

    def _write(self, first: int, payload: bytes) -> None:
        self._transport.write(bytes((first, 0x80 | len(payload))) + _NO_MASK + payload)

    def close(self) -> None:
        self._write(_CLOSE, b"\x03\xe8")

    def abort(self) -> None:
        self._transport.abort()


async def _hold() -> None:
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []

    async def connect(port: int, number: int) -> None:
        _, client = await loop.create_connection(lambda: _Client(number), "127.0.0.1", port)
        clients.append(client)
        await client.answered

    async def connect_many(command: Command) -> Command:
        """Open `count` connections, and wait until the last one is answered."""
        count = command["count"]
        spread = command.get("spread", HEARTBEAT * math.ceil(count / ARRIVALS))
        limit = asyncio.Semaphore(command.get("at_once", AT_ONCE))
        first = command.get("first", len(clients))

        async def connect_limited(number: int) -> None:
            async with limit:
                await connect(command["port"], number)

        started = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                if (early := started + spread * number / count - loop.time()) > 0:
                    await asyncio.sleep(early)
                group.create_task(connect_limited(first + number))
        return {"took": loop.time() - started}

    async def close(_: Command) -> Command:
        """All clients close at one moment; wait until the last transport has ended."""
        started = loop.time()
        for client in clients:
            client.close()
        return await ended({}) | {"took": loop.time() - started}

    async def ended(command: Command) -> Command:
        """The first `count` clients are forgotten when they have ended."""
        going = clients[: command.get("count")]
        del clients[: len(going)]
        for client in going:
            await client.ended
        return {}

    async def pings(_: Command) -> Command:
        return {"pings": _Client.pings}

    try:
        await answer({"open": connect_many, "pings": pings, "close": close, "ended": ended})
    finally:
        for client in clients:
            client.abort()
        await asyncio.sleep(0)


if __name__ == "__main__":
    run_child(_hold())
