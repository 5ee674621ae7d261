"""`python -m tests.fleet.round_robin PORT…`: a TCP proxy whose connections go to these ports in turn.

It prints its own port, and for each line of its input when it stood still until then. What arrives on one side
leaves on the other side; the end of a side is the end of both. A port that refuses is left out for that
connection, as a load balancer does.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from itertools import cycle

from tests.fleet.roaming_client import now
from tests.fleet.standstill import heartbeat

_HOST = "127.0.0.1"


class _Side(asyncio.Protocol):
    """One side of a connection; `other` is the transport of the other side."""

    other: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None:
            self.other.close()


class _Client(_Side):
    """The side of the client, which is not read before the other side is there."""

    def __init__(self, proxy: "RoundRobin") -> None:
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()
        self._joining = asyncio.ensure_future(self._proxy.join(self))


class RoundRobin:
    """Gives each new connection to the next port."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._count = len(ports)
        self._ports = cycle(ports)

    async def serve(self) -> int:
        """Listen on a free port, which is returned."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Client(self), _HOST, 0, backlog=4096)
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def join(self, client: _Client) -> None:
        """Open the other side of a client's connection."""
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            try:
                transport, side = await loop.create_connection(_Side, _HOST, next(self._ports))
            except OSError:
                continue
            side.other, client.other = client.transport, transport
            if client.transport.is_closing() or transport.is_closing():
                # The end of this side was not told to the other side: neither knew of the other.
                transport.abort()
                client.transport.abort()
            else:
                client.transport.resume_reading()
            return
        client.transport.abort()


async def _main(ports: Sequence[int]) -> None:
    with heartbeat(now) as standstills:
        print(await RoundRobin(ports).serve(), flush=True)
        # Whoever started this process ends it by the end of its input.
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(standstills.spans), flush=True)


if __name__ == "__main__":
    asyncio.run(_main([*map(int, sys.argv[1:])]))
