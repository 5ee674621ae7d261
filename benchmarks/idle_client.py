"""The client process of `connections.py`: holds connections open and answers pings."""

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
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class _Client(asyncio.Protocol):
    """A peer that does nothing but answer pings: unfragmented frames of at most 125 bytes."""

    __slots__ = ("_rest", "_transport", "upgraded")
    pings = 0

    def __init__(self) -> None:
        self.upgraded: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_HELLO)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upgraded is not None and not self.upgraded.done():
            self.upgraded.set_exception(ConnectionError("no handshake"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self.upgraded is not None:
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = data
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self._transport.abort()
                return
            self.upgraded.set_result(None)
            self.upgraded, data = None, rest
        while len(data) >= 2 and len(data) >= (size := 2 + data[1]):
            if data[0] == 0x89:
                # A mask of zeros leaves the payload as it is.
                self._transport.write(b"\x8a" + bytes((0x80 | data[1], 0, 0, 0, 0)) + data[2:size])
                _Client.pings += 1
            elif data[0] == 0x88:
                self._transport.close()
            data = data[size:]
        self._rest = data

    def abort(self) -> None:
        self._transport.abort()


async def _hold() -> None:
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    limit = asyncio.Semaphore(AT_ONCE)

    async def connect(port: int) -> None:
        async with limit:
            _, client = await loop.create_connection(_Client, "127.0.0.1", port)
            clients.append(client)
            if client.upgraded is not None:
                await client.upgraded

    async def connect_many(command: Command) -> Command:
        count = command["count"]
        spread = HEARTBEAT * math.ceil(count / ARRIVALS)
        started = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(started + spread * number / count - loop.time())
                group.create_task(connect(command["port"]))
        return {}

    async def pings(_: Command) -> Command:
        return {"pings": _Client.pings}

    try:
        await answer({"open": connect_many, "pings": pings})
    finally:
        for client in clients:
            client.abort()
        await asyncio.sleep(0)


if __name__ == "__main__":
    run_child(_hold())
