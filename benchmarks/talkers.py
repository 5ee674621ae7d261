"""Clients that talk, in a process of their own: for `rollout.py` and `guard.py`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from time import perf_counter

import aiohttp

from benchmarks.processes import Answer, Command, answer, child, run_child
from tests.live.servers import app_client
from tests.waiting import until

AT_ONCE = 50
"""Handshakes in flight."""


@asynccontextmanager
async def talking(url: str, count: int, every: float) -> AsyncIterator[Answer]:
    """Clients `u0`, `u1`, … that say something every so many seconds, if the last was answered."""
    async with child("talkers") as ask:
        await ask({"do": "connect", "url": url, "count": count, "every": every})
        yield ask


class _Client:
    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self.sent = self.answered = self.pings = 0
        self.slowest = self._said_at = 0.0
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for message in self._websocket:
            if message.type is aiohttp.WSMsgType.PING:
                self.pings += 1
                await self._websocket.pong(message.data)
            elif message.json()["type"] == "pong":
                self.answered += 1
                self.slowest = max(self.slowest, perf_counter() - self._said_at)

    @property
    def open(self) -> bool:
        return not self.listening.done()

    async def speak(self) -> None:
        if self.open and self.sent == self.answered:
            self.sent, self._said_at = self.sent + 1, perf_counter()
            with suppress(ConnectionError):
                await self._websocket.send_str(json.dumps({"type": "ping", "number": self.sent}))


class _Clients:
    """Those of the process; the dead are forgotten in all that is told."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._everyone: list[_Client] = []

    async def connect(self, command: Command) -> Command:
        url, count = command["url"], command["count"]
        for first in range(0, count, AT_ONCE):
            users = (f"u{n}" for n in range(first, min(first + AT_ONCE, count)))
            opening = (app_client(self._http, url, user, autoping=False) for user in users)
            self._everyone += map(_Client, await asyncio.gather(*opening))
        self._living = self._everyone
        self._speaking = asyncio.create_task(self._speak(command["every"]))
        return {}

    async def _speak(self, every: float) -> None:
        due = perf_counter()
        for client in cycle(self._everyone):
            due += every / len(self._everyone)
            if (early := due - perf_counter()) > 0:
                await asyncio.sleep(early)
            await client.speak()

    async def half_dies(self, _: Command) -> Command:
        self._living = self._everyone[::2]
        for client in self._everyone[1::2]:
            client.listening.cancel()
        return {"pid": os.getpid()}

    async def quiet(self, _: Command) -> Command:
        """Say no more, and wait for the answers."""
        self._speaking.cancel()
        with suppress(TimeoutError):
            await until(lambda: all(c.sent == c.answered for c in self._living if c.open), 30)
        return {}

    async def figures(self, _: Command) -> Command:
        """Pings and the slowest answer, in seconds, are those since the last time."""
        living = self._living
        figures = {
            "open": sum(client.open for client in living),
            "sent": sum(client.sent for client in living),
            "answered": sum(client.answered for client in living),
            "unpinged": sum(not client.pings for client in living),
            "slowest": max(client.slowest for client in living),
        }
        for client in living:
            client.pings, client.slowest = 0, 0.0
        return figures


async def _hold() -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        them = _Clients(http)
        commands = (them.connect, them.half_dies, them.quiet, them.figures)
        await answer({command.__name__: command for command in commands})


if __name__ == "__main__":
    run_child(_hold())
