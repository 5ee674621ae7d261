"""The network is cut for 70 s under a thousand talking connections: what the guard makes of it (R6b).

The reference server runs in this process, its clients in another one, which is stopped meanwhile; when it
goes on, every second client is dead: it reads and answers nothing, a close neither. All times are the
seed's divided by `speed`. Whoever is held when the network is back and answers must be saved; the dead
must be closed, no faster than the guard lets closes pass.
"""

import asyncio
import json
import logging
import os
import signal
import tempfile
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from time import perf_counter

import aiohttp

from benchmarks.processes import Answer, Command, answer, child, run_child
from shim.driver.driver import clock
from shim.model import Connection, Decision, Role, Stage, Time, seconds
from shim.router import Observer
from tests.live.servers import app_client, server, until

TALK = 3.0
HEARTBEAT, TIMEOUT, CUT, WINDOW, HOLD = 15.0, 45.0, 70.0, 30.0, 30.0
SHARE, COUNT = 0.1, 20
AT_ONCE = 50
"""Handshakes in flight."""


# -- The cut --------------------------------------------------------------------------------------


def run(count: int = 1_000, stage: Stage = Stage.COMPLETE, speed: float = 4) -> None:
    """A minute at the default speed. Raises RuntimeError if the guard does not do what it is for."""
    logging.disable()
    asyncio.run(_run(count, stage, speed))


class _Watch(Observer):
    """What became of the candidate's decisions, by user, and when."""

    def __init__(self) -> None:
        self.closed_at: dict[str, Time] = {}
        self.saved: set[str] = set()
        self.guarded: dict[bool, Time] = {}

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        if acted:
            self.closed_at[connection.user] = clock()
        elif role is Role.CANDIDATE:
            self.saved.add(connection.user)

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        self.guarded[holding] = now


async def _run(count: int, stage: Stage, speed: float) -> None:
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            server(Path(folder), stage, _settings(speed)) as it,
            talking(it.url, count, TALK / speed) as ask,
        ):
            it.shim.observer.add(watch)
            guard = it.shim.router.guard
            assert guard is not None
            await asyncio.sleep(2 * HEARTBEAT / speed)
            clients = (await ask({"do": "half_dies"}))["pid"]
            cut = clock()
            os.kill(clients, signal.SIGSTOP)
            await asyncio.sleep(CUT / speed)
            tracked = it.shim.router.connections()
            held = {t.connection.user for t in tracked if t.connection.id in guard}
            if len(held) < count / 2:
                raise RuntimeError(f"the guard holds {len(held)} only")
            back = clock()
            os.kill(clients, signal.SIGCONT)
            await until(lambda: not guard.holding, 600 / speed)
            await ask({"do": "quiet"})
            talk_on = (await ask({"do": "figures"}))["open"]
            proofs = it.tally.proofs_of_life[Role.CANDIDATE]
    alive = {user for user in held if int(user[1:]) % 2 == 0}
    dead, wrongly = held - alive, alive & watch.closed_at.keys()
    holding, calm = (seconds(watch.guarded[state] - cut) for state in (True, False))
    late = sorted(seconds(at - cut) for user, at in watch.closed_at.items() if user in held)
    passed = len(watch.closed_at) - len(late)
    window, allowed = WINDOW / speed, max(COUNT, SHARE * count)
    busiest = _busiest(sorted(map(seconds, watch.closed_at.values())), window)
    print(
        f"{count} connections at {stage}, cut for {CUT / speed:g} s (the seed's times / {speed:g}); "
        "seconds are since the cut\n"
        f"  {passed} closed, then from {holding:.1f} s on the guard held {len(watch.saved) + len(late)}\n"
        f"  back at {seconds(back - cut):.1f} s with {len(held)} held: {len(alive)} answer, of them "
        f"{len(alive & watch.saved)} saved, {len(wrongly)} closed; {proofs} proofs of life\n"
        f"  {len(dead)} are dead: {len(dead & watch.closed_at.keys())} closed, from {late[0]:.1f} to "
        f"{late[-1]:.1f} s, {(len(late) - 1) / (late[-1] - late[0]):.2f} a second "
        f"(may be {allowed / window:.2f}), at most {busiest} of all closes in {window:g} s\n"
        f"  calm at {calm:.1f} s; {talk_on} talk on",
        flush=True,
    )
    if wrongly or proofs or alive != watch.saved or talk_on != len(alive):
        raise RuntimeError("a client that answered in time was not saved")
    if not dead <= watch.closed_at.keys() or busiest > allowed + 1:
        raise RuntimeError("the dead were not closed, or not paced")


def _settings(speed: float) -> str:
    def ms(duration: float) -> str:
        return f"{duration / speed * 1000:.0f}ms"

    both = f"heartbeat_interval: {ms(HEARTBEAT)}, timeout: {ms(TIMEOUT)}"
    return f"""
monitors:
  control: {{plugin: legacy-global, {both}}}
  candidate: {{plugin: per-session, {both}, close_timeout: {ms(5)}, stall_threshold: {ms(5)}}}
comparison: {{tolerance: {ms(16)}, window: {ms(60)}, return_window: {ms(120)}}}
guard: {{window: {ms(WINDOW)}, share: {SHARE}, count: {COUNT}, hold: {ms(HOLD)}}}
server: {{drain: 0s}}
"""


def _busiest(times: list[float], window: float) -> int:
    """The most of these within any window."""
    return max(bisect_left(times, at + window) - n for n, at in enumerate(times))


# -- The clients' process -------------------------------------------------------------------------


@asynccontextmanager
async def talking(url: str, count: int, every: float) -> AsyncIterator[Answer]:
    """Clients `u0`, `u1`, … that say something every so many seconds, if the last was answered."""
    async with child("guard") as ask:
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
