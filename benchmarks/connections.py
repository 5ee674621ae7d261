"""Real idle connections over loopback: stalls, CPU time and memory, ours against aiohttp's heartbeat.

A server process runs one variant, a client process holds the connections open and answers pings:

    parent                        server                    client
    start both                    listen
    connect a few                                           handshakes, pongs
    memory                        RSS before
    connect the rest                                        handshakes, pongs
    let two rounds pass
    cpu                           CPU time of whole rounds, nobody looking
    stalls                        the longest in as many rounds
    memory                        RSS after
    close their stdin             stop                      abort, stop

Connections come evenly spread, each in a session of its own, which is the dearest case for the shim.
The stall is how late a sleep of 5 ms ends, so it includes what other processes take from us; `busy` is
the CPU time that passed during one sleep, which does not. The CPU time is measured apart, for looking
costs some, and what an idle server needs is taken off. In `shadow` the pings, and with them the stalls,
are those of the legacy monitor's sweep, which a service has before the shim.
"""

import asyncio
import gc
import json
import logging
import math
import os
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count as counter
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any, NamedTuple

from aiohttp import web

from shim.aio import Shim
from shim.discovery import monitor_types, plugin_manager
from shim.flags import everyone_at
from shim.model import Stage
from shim.settings import settings_from

HEARTBEAT = 3.0
PROBE = 0.005
FIRST = 100
"""Connections made before memory is looked at: what is allocated once is allocated then."""

ARRIVALS = 1_500
"""So many connections come in one heartbeat interval, at most, evenly spread over whole intervals:
aiohttp pings in the rhythm of the arrivals, and bunched pings share a run of the loop."""

AT_ONCE = 50
"""Handshakes in flight."""

VARIANTS = {
    "none": "aiohttp, no heartbeat",
    "aiohttp": "aiohttp heartbeat",
    "complete": "shim, complete",
    "shadow": "shim, shadow",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Command = dict[str, Any]


class Figures(NamedTuple):
    stall: float  # ms
    busy: float  # ms
    cpu: float  # seconds per 1 000 connections and round
    memory: float  # KiB per connection


# -- The parent -----------------------------------------------------------------------------------


def run(count: int, seconds: float) -> None:
    """Measure every variant with so many connections, for so many seconds each."""
    count = min(count, _raise_limit() - 200)
    repetitions = 2 if count <= 2_000 else 1
    rounds = max(1, round(seconds / HEARTBEAT))
    seen: dict[str, list[Figures]] = {variant: [] for variant in VARIANTS}
    for _ in range(repetitions):
        for variant in VARIANTS:
            seen[variant].append(asyncio.run(_measure(variant, count, rounds)))
    results = {
        variant: Figures(*map(median, zip(*figures, strict=True)))
        for variant, figures in seen.items()
    }
    # No heartbeat's cost: an idle server's.
    idle = results["none"].cpu
    results = {
        variant: figures._replace(cpu=figures.cpu - idle) for variant, figures in results.items()
    }
    print(
        f"{count} idle connections, a ping each {HEARTBEAT:g} s, {rounds} rounds, "
        f"median of {repetitions}; an idle server's {idle:.4f} CPU s are taken off"
    )
    for variant, figures in results.items():
        print(
            f"  {VARIANTS[variant]:<22} longest stall {figures.stall:6.1f} ms "
            f"(busy {figures.busy:6.1f} ms)  CPU {figures.cpu:.4f} s per 1 000 and round  "
            f"memory {figures.memory:5.2f} KiB a connection"
        )
    theirs = results["aiohttp"]
    for variant in ("complete", "shadow"):
        ours = results[variant]
        print(
            f"  {VARIANTS[variant]} / {VARIANTS['aiohttp']}: stall {ours.stall / theirs.stall:.2f}, "
            f"busy {ours.busy / theirs.busy:.2f}, CPU {ours.cpu / theirs.cpu:.2f}, "
            f"memory {ours.memory / theirs.memory:.2f}",
            flush=True,
        )


async def _measure(variant: str, count: int, rounds: int) -> Figures:
    first = min(FIRST, count // 2)
    async with _child("server", variant) as server, _child("client") as client:
        port = (await server({"do": "port"}))["port"]
        await client({"do": "open", "port": port, "count": first})
        before = (await server({"do": "memory"}))["kib"]
        await client({"do": "open", "port": port, "count": count - first})
        await asyncio.sleep(2 * HEARTBEAT + 0.5)
        pinged = (await client({"do": "pings"}))["pings"]
        cpu = (await server({"do": "cpu", "seconds": rounds * HEARTBEAT}))["cpu"]
        stalls = await server({"do": "stalls", "seconds": rounds * HEARTBEAT})
        pinged = (await client({"do": "pings"}))["pings"] - pinged
        after = await server({"do": "memory"})
    if after["open"] != count:
        raise RuntimeError(f"{variant}: {after['open']} of {count} connections are still open")
    if (pinged < 1.6 * count * rounds) is not (variant == "none"):
        raise RuntimeError(
            f"{variant}: {pinged} pings to {count} connections in {2 * rounds} rounds"
        )
    return Figures(
        stalls["stall"] * 1000,
        stalls["busy"] * 1000,
        cpu / rounds / count * 1000,
        (after["kib"] - before) / (count - first),
    )


Ask = Callable[[Command], Awaitable[Command]]


@asynccontextmanager
async def _child(*arguments: str) -> AsyncIterator[Ask]:
    """A process of ours that answers commands, a line of JSON each, until its stdin ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.connections", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def ask(command: Command) -> Command:
        stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(120 + command.get("seconds", 0)):
            line = await stdout.readline()
        if not line:
            raise RuntimeError(f"the {arguments[0]} has ended")
        answer: Command = json.loads(line)
        return answer

    try:
        yield ask
    finally:
        stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


# -- The children ---------------------------------------------------------------------------------


def _raise_limit() -> int:
    """Allow as many open files as may be allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1 << 20 if hard == resource.RLIM_INFINITY else hard


async def _answer(commands: dict[str, Callable[[Command], Awaitable[Command]]]) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        print(json.dumps(await commands[command["do"]](command)), flush=True)


async def _serve(variant: str) -> None:
    app = web.Application()
    opened = 0
    handler = _aiohttp_handler(variant) if variant in ("none", "aiohttp") else _ours(app, variant)

    async def counted(request: web.Request) -> web.StreamResponse:
        nonlocal opened
        opened += 1
        try:
            return await handler(request)
        finally:
            opened -= 1

    async def port(_: Command) -> Command:
        return {"port": runner.addresses[0][1]}

    async def memory(_: Command) -> Command:
        return {"kib": _resident(), "open": opened}

    app.router.add_get("/", counted)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    try:
        await _answer({"port": port, "memory": memory, "cpu": _cpu, "stalls": _stalls})
    finally:
        await runner.cleanup()


def _resident() -> float:
    """KiB of this process in memory, garbage not counted."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


async def _cpu(command: Command) -> Command:
    started = process_time()
    await asyncio.sleep(command["seconds"])
    return {"cpu": process_time() - started}


async def _stalls(command: Command) -> Command:
    """Sleep again and again; how late is the latest, and how much did we compute meanwhile?"""
    stall = busy = 0.0
    ends = perf_counter() + command["seconds"]
    while (before := perf_counter()) < ends:
        computed = thread_time()
        await asyncio.sleep(PROBE)
        stall = max(stall, perf_counter() - before - PROBE)
        busy = max(busy, thread_time() - computed)
    return {"stall": stall, "busy": busy}


def _aiohttp_handler(variant: str) -> Handler:
    heartbeat = None if variant == "none" else HEARTBEAT

    async def handler(request: web.Request) -> web.StreamResponse:
        websocket = web.WebSocketResponse(heartbeat=heartbeat)
        await websocket.prepare(request)
        async for _ in websocket:
            pass
        return websocket

    return handler


def _ours(app: web.Application, variant: str) -> Handler:
    times = {"heartbeat_interval": f"{HEARTBEAT:g}s", "timeout": f"{3 * HEARTBEAT:g}s"}
    settings = settings_from(
        {"monitors": {"control": times, "candidate": times}, "server": {"drain": "0s"}},
        monitor_types(plugin_manager()),
    )
    stage = Stage[variant.upper()]
    shim = Shim(settings, everyone_at(stage).evaluate)
    app.cleanup_ctx.append(shim.lifespan)
    numbers = counter()

    async def handler(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        number = next(numbers)
        async with shim.register_app_connection(
            websocket, f"user{number}", f"session{number}", "com.example.app"
        ) as connection:
            async for _ in connection:
                pass
        return websocket

    return handler


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
        await _answer({"open": connect_many, "pings": pings})
    finally:
        for client in clients:
            client.abort()
        await asyncio.sleep(0)


def _child_main() -> None:
    _raise_limit()
    logging.disable()
    asyncio.run(_hold() if sys.argv[1] == "client" else _serve(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # to take a hundred thousand objects apart is nobody's interest


if __name__ == "__main__":
    _child_main()
