"""A server that closes each client once, in the way that the client's address names, and waits for it.

An address is `ws://HOST:PORT/CLIENT~ENDING~NUMBER/…`; what follows is for the client's library.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from benchmarks.clients.greetings import GREETINGS, SPOKEN_FIRST

ABORT, NO_CODE = "1006", "none"
_SETTLED = 1.0
"""Seconds from a client's opening until it is closed: whatever it has to say has been said then."""


class Label(NamedTuple):
    """One client that is closed once."""

    client: str
    ending: str
    number: int

    def __str__(self) -> str:
        return "~".join((self.client, self.ending, str(self.number)))


@dataclass
class ClosingServer:
    """Collects, of each label, when it was closed and how many seconds later it was back."""

    closed_at: dict[Label, float] = field(default_factory=dict)
    delays: dict[Label, float] = field(default_factory=dict)
    opened: set[Label] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve, as long as the context lasts; gives the address without a label."""
        async with serve(
            self._handle,
            "127.0.0.1",
            0,
            ping_interval=None,
            compression=None,
            select_subprotocol=_first_offered,
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}"

    async def _handle(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        client, ending, number = websocket.request.path.split("/")[1].split("~")
        label = Label(client, ending, int(number))
        if (closed_at := self.closed_at.get(label)) is not None:
            self.delays.setdefault(label, time.monotonic() - closed_at)
        first = label not in self.opened
        self.opened.add(label)
        with suppress(ConnectionClosed):
            if label.client in SPOKEN_FIRST:
                await websocket.send(SPOKEN_FIRST[label.client])
            talk = asyncio.create_task(_talk(websocket, label.client))
            try:
                if first:
                    await asyncio.sleep(_SETTLED)
                    self.closed_at[label] = time.monotonic()
                    await _end(websocket, label.ending)
                await websocket.wait_closed()
            finally:
                talk.cancel()
                await asyncio.wait([talk])


def _first_offered(
    websocket: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    return next(iter(offered), None)


async def _talk(websocket: ServerConnection, client: str) -> None:
    greeting = GREETINGS.get(client)
    async for message in websocket:
        text = message.decode() if isinstance(message, bytes) else message
        for answer in greeting(text) if greeting is not None else ():
            await websocket.send(answer)


async def _end(websocket: ServerConnection, ending: str) -> None:
    if ending == ABORT:
        websocket.transport.abort()
    elif ending == NO_CODE:
        # The library's own close always sends a code.
        websocket.protocol.send_close()
        websocket.transport.write(b"".join(websocket.protocol.data_to_send()))
    else:
        await websocket.close(int(ending))
