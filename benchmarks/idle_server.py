"""The server process of `connections.py`: one library, one way to watch its connections, one loop.

python -m benchmarks.idle_server (aiohttp|uvicorn|websockets) (none|own|complete|shadow) (asyncio|uvloop)
"""

import asyncio
import gc
import logging
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from importlib import import_module
from itertools import count
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any

from aiohttp import web

import shim.aio
from benchmarks.connections import HEARTBEAT
from benchmarks.processes import Command, answer, run_child
from shim.flags import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings import settings_from

PROBE = 0.005


class _Handlers:
    """How many there are. Each connection is in a session of its own."""

    def __init__(self) -> None:
        self.running = 0
        self._numbers = count()

    @contextmanager
    def one_more(self) -> Iterator[tuple[str, str, str]]:
        """Yields user, session and package."""
        number = next(self._numbers)
        self.running += 1
        try:
            yield f"user{number}", f"session{number}", "com.example.app"
        finally:
            self.running -= 1


def _shim(kind: Any, watched: str) -> Any:
    """A `Shim` of one of the integrations, everybody at this stage."""
    times = {"heartbeat_interval": f"{HEARTBEAT:g}s", "timeout": f"{3 * HEARTBEAT:g}s"}
    settings = settings_from(
        {"monitors": {"control": times, "candidate": times}, "server": {"drain": "0s"}},
        monitor_types(plugin_manager()),
    )
    return kind(settings, everyone_at(Stage[watched.upper()]).evaluate)


@asynccontextmanager
async def _on_aiohttp(watched: str, handlers: _Handlers) -> AsyncIterator[int]:
    app = web.Application()
    if watched in ("none", "own"):
        heartbeat = HEARTBEAT if watched == "own" else None

        async def handler(request: web.Request) -> web.StreamResponse:
            websocket = web.WebSocketResponse(heartbeat=heartbeat)
            await websocket.prepare(request)
            with handlers.one_more():
                async for _ in websocket:
                    pass
            return websocket
    else:
        it: shim.aio.Shim = _shim(shim.aio.Shim, watched)
        app.cleanup_ctx.append(it.lifespan)

        async def handler(request: web.Request) -> web.StreamResponse:
            websocket = it.websocket()
            await websocket.prepare(request)
            with handlers.one_more() as (user, session, package):
                async with it.register_app_connection(
                    websocket, user, session, package
                ) as connection:
                    async for _ in connection:
                        pass
            return websocket

    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _on_websockets(watched: str, handlers: _Handlers) -> AsyncIterator[int]:
    from websockets.asyncio.server import serve

    import shim.websockets

    if watched in ("none", "own"):
        heartbeat = HEARTBEAT if watched == "own" else None
        options: dict[str, Any] = {"ping_interval": heartbeat, "ping_timeout": heartbeat}

        async def handler(websocket: Any) -> None:
            with handlers.one_more():
                async for _ in websocket:
                    pass

        async with serve(handler, "127.0.0.1", 0, backlog=1024, **options) as server:
            yield server.sockets[0].getsockname()[1]
    else:
        it: shim.websockets.Shim = _shim(shim.websockets.Shim, watched)

        async def handler(websocket: Any) -> None:
            with handlers.one_more() as who:
                async with it.register_app_connection(websocket, *who):
                    async for _ in websocket:
                        pass

        async with it, serve(handler, "127.0.0.1", 0, backlog=1024, **it.options) as server:
            yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _on_uvicorn(watched: str, handlers: _Handlers) -> AsyncIterator[int]:
    import uvicorn

    import shim.asgi

    it = None if watched in ("none", "own") else _shim(shim.asgi.Shim, watched)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with handlers.one_more() as who:
            async with nullcontext() if it is None else it.register_app_connection(scope, *who):
                while (await receive())["type"] != "websocket.disconnect":
                    pass

    heartbeat = HEARTBEAT if watched == "own" else None
    options: dict[str, Any] = {"ws_ping_interval": heartbeat, "ws_ping_timeout": heartbeat}
    ws = "auto" if it is None else "shim.asgi:WebSocketProtocol"
    config = uvicorn.Config(app, port=0, ws=ws, lifespan="off", log_config=None, **options)
    server = uvicorn.Server(config)
    async with nullcontext() if it is None else it:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for that
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await serving


_LIBRARIES = {"aiohttp": _on_aiohttp, "uvicorn": _on_uvicorn, "websockets": _on_websockets}


async def _serve(library: str, watched: str) -> None:
    handlers = _Handlers()
    serving: AbstractAsyncContextManager[int] = _LIBRARIES[library](watched, handlers)

    async def port(_: Command) -> Command:
        return {"port": listening}

    async def memory(_: Command) -> Command:
        return {"kib": _resident(), "open": handlers.running}

    async with serving as listening:
        await answer({"port": port, "memory": memory, "cpu": _cpu, "stalls": _stalls})


def _resident() -> float:
    """KiB of this process in memory, garbage not counted."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


async def _cpu(command: Command) -> Command:
    """CPU seconds of each round, nobody looking."""
    used = []
    for _ in range(command["rounds"]):
        started = process_time()
        await asyncio.sleep(HEARTBEAT)
        used.append(process_time() - started)
    return {"cpu": used}


async def _stalls(command: Command) -> Command:
    """Of each round: how late is the latest of many sleeps, and how much was computed during one?"""
    stalls, computing = [], []
    for _ in range(command["rounds"]):
        stall = busy = 0.0
        ends = perf_counter() + HEARTBEAT
        while (before := perf_counter()) < ends:
            computed = thread_time()
            await asyncio.sleep(PROBE)
            stall = max(stall, perf_counter() - before - PROBE)
            busy = max(busy, thread_time() - computed)
        stalls.append(stall)
        computing.append(busy)
    return {"stall": stalls, "busy": computing}


if __name__ == "__main__":
    logging.disable()
    run_child(_serve(*sys.argv[1:3]), import_module(sys.argv[3]).new_event_loop)
