"""The server process of `connections.py` and `storm.py`: one library on one loop, watched in one way.

python -m benchmarks.idle_server LIBRARY WATCHED LOOP HEARTBEAT [FOLDER]

LIBRARY is aiohttp, uvicorn or websockets; WATCHED is none, bare, own or a stage; LOOP is asyncio or uvloop;
HEARTBEAT is the time from one ping to the next, in seconds, and a third of the timeout. With FOLDER the shim
has everything that `Shim.open` gives: a flags file, metrics, and its ledger and captures in this folder.

Each client names itself by a number in its URL, and is answered when its connection is registered.
"""

import asyncio
import gc
import json
import logging
import resource
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any, NamedTuple

from aiohttp import web

import shim.aio
from benchmarks.processes import Command, answer, run_child
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.secrets import Secrets
from shim.settings.settings import settings_from

PROBE = 0.005
BACKLOG = 4096
SETTLING = 1.2
"""Seconds: longer than rows and lines wait before they are written."""


ACK = '{"type":"connection_ack"}'
REPLACED = (1000, "replaced by a newer connection")

_FLAGS = """\
version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: a}}
kill_switch: false
default: "off"
holdback: 0
overrides: {{}}
rules: []
percent: {{{stage}: 100}}
...
"""


class Watching(NamedTuple):
    """By nobody (`none`, `bare`), by the library's `own` pings, or by the shim at a stage.

    A newer connection of a client replaces the older one: the shim sees to that, and so does a `bare` handler.
    With a `folder` the shim has everything that `Shim.open` gives.
    """

    watched: str
    heartbeat: float
    folder: Path | None

    @property
    def own_heartbeat(self) -> float | None:
        return self.heartbeat if self.watched == "own" else None

    def shim(self, kind: Any) -> Any:
        """A `Shim` of one of the integrations, everybody at this stage; None: there is no shim."""
        if self.watched in ("none", "bare", "own"):
            return None
        times = {
            "heartbeat_interval": f"{self.heartbeat:g}s",
            "timeout": f"{3 * self.heartbeat:g}s",
        }
        told: dict[str, Any] = {
            "monitors": {"control": times, "candidate": times},
            "server": {"drain": "0s"},
        }
        stage = Stage[self.watched.upper()]
        if self.folder is None:
            types = monitor_types(plugin_manager())
            return kind(settings_from(told, types), everyone_at(stage).evaluate)
        flags = self.folder / "rollout.yaml"
        flags.write_text(_FLAGS.format(stage=self.watched))
        told |= {
            "rollout": str(flags),
            "ledger": f"sqlite:///{self.folder}/shim.db",
            "capture": {"file": f"{self.folder}/capture.jsonl"},
        }
        # Only a settings file can name a flags file. JSON is YAML.
        settings = self.folder / "shim.yaml"
        settings.write_text(json.dumps(told))
        it = kind.open(settings, secrets=Secrets("", "operator", "key"))
        if it.evaluate("user0").stage is not stage:
            raise RuntimeError(f"the flags file does not put everybody at {stage}")
        return it


class _Handlers:
    """How many there are, and the newest WebSocket of each client, if older ones are replaced."""

    def __init__(self, *, replaces: bool) -> None:
        self.running = 0
        self._replaces = replaces
        self._newest: dict[str, Any] = {}

    @contextmanager
    def one_more(self, client: str) -> Iterator[tuple[str, str, str]]:
        """Yields user, session and package: each client has a session of its own."""
        self.running += 1
        try:
            yield f"user{client}", f"session{client}", "com.example.app"
        finally:
            self.running -= 1

    @contextmanager
    def bare(self, client: str, websocket: Any) -> Iterator[Any]:
        """The same without the shim; yields the older WebSocket of this client, which is to be closed."""
        self.running += 1
        older = None
        if self._replaces:
            older, self._newest[client] = self._newest.get(client), websocket
        try:
            yield older
        finally:
            self.running -= 1
            if self._newest.get(client) is websocket:
                del self._newest[client]


@asynccontextmanager
async def _on_aiohttp(watching: Watching, handlers: _Handlers) -> AsyncIterator[int]:
    app, it = web.Application(), watching.shim(shim.aio.Shim)
    if it is None:
        heartbeat, closing = watching.own_heartbeat, set()

        async def handler(request: web.Request) -> web.StreamResponse:
            websocket = web.WebSocketResponse(heartbeat=heartbeat)
            await websocket.prepare(request)
            with handlers.bare(request.query_string, websocket) as older:
                if older is not None:
                    task = asyncio.create_task(
                        older.close(code=REPLACED[0], message=REPLACED[1].encode())
                    )
                    closing.add(task)
                    task.add_done_callback(closing.discard)
                await websocket.send_str(ACK)
                async for _ in websocket:
                    pass
            return websocket
    else:
        app.cleanup_ctx.append(it.lifespan)

        async def handler(request: web.Request) -> web.StreamResponse:
            websocket: web.WebSocketResponse = it.websocket()
            await websocket.prepare(request)
            with handlers.one_more(request.query_string) as (user, session, package):
                async with it.register_app_connection(
                    websocket, user, session, package
                ) as connection:
                    await websocket.send_str(ACK)
                    async for _ in connection:
                        pass
            return websocket

    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _on_websockets(watching: Watching, handlers: _Handlers) -> AsyncIterator[int]:
    from websockets.asyncio.server import serve

    import shim.websockets

    it = watching.shim(shim.websockets.Shim)
    if it is None:
        heartbeat, closing = watching.own_heartbeat, set()
        options: dict[str, Any] = {"ping_interval": heartbeat, "ping_timeout": heartbeat}

        async def handler(websocket: Any) -> None:
            with handlers.bare(_client_of(websocket.request.path), websocket) as older:
                if older is not None:
                    task = asyncio.create_task(older.close(*REPLACED))
                    closing.add(task)
                    task.add_done_callback(closing.discard)
                await websocket.send(ACK)
                async for _ in websocket:
                    pass

        async with serve(handler, "127.0.0.1", 0, backlog=BACKLOG, **options) as server:
            yield server.sockets[0].getsockname()[1]
    else:

        async def handler(websocket: Any) -> None:
            with handlers.one_more(_client_of(websocket.request.path)) as who:
                async with it.register_app_connection(websocket, *who):
                    await websocket.send(ACK)
                    async for _ in websocket:
                        pass

        async with it, serve(handler, "127.0.0.1", 0, backlog=BACKLOG, **it.options) as server:
            yield server.sockets[0].getsockname()[1]


def _client_of(path: str) -> str:
    return path.partition("?")[2]


@asynccontextmanager
async def _on_uvicorn(watching: Watching, handlers: _Handlers) -> AsyncIterator[int]:
    import uvicorn

    import shim.asgi

    it = watching.shim(shim.asgi.Shim)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        client = scope["query_string"].decode()
        if it is not None:
            with handlers.one_more(client) as who:
                async with it.register_app_connection(scope, *who):
                    await _talk(receive, send)
            return
        with handlers.bare(client, send) as close_older:
            if close_older is not None:
                code, reason = REPLACED
                await close_older({"type": "websocket.close", "code": code, "reason": reason})
            await _talk(receive, send)

    async def _talk(receive: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": ACK})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    heartbeat = watching.own_heartbeat
    options: dict[str, Any] = {"ws_ping_interval": heartbeat, "ws_ping_timeout": heartbeat}
    config = uvicorn.Config(
        app,
        port=0,
        ws="auto" if it is None else "shim.asgi:WebSocketProtocol",
        lifespan="off",
        log_config=None,
        backlog=BACKLOG,
        **options,
    )
    server = uvicorn.Server(config)
    async with nullcontext() if it is None else it:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for that
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await serving


_LIBRARIES = {"aiohttp": _on_aiohttp, "uvicorn": _on_uvicorn, "websockets": _on_websockets}


async def _serve(library: str, watching: Watching) -> None:
    handlers = _Handlers(replaces=watching.watched == "bare")
    serving: AbstractAsyncContextManager[int] = _LIBRARIES[library](watching, handlers)

    async def port(_: Command) -> Command:
        return {"port": listening}

    async def memory(_: Command) -> Command:
        return {"kib": _resident(), "open": handlers.running}

    async def settled(command: Command) -> Command:
        """The CPU time so far, when so many connections are open and nothing waits to be written."""
        while handlers.running != command["open"]:  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.01)
        await asyncio.sleep(SETTLING)
        return {"cpu": process_time()}

    async with serving as listening:
        await answer(
            {
                "port": port,
                "memory": memory,
                "settled": settled,
                "cpu": partial(_cpu, watching.heartbeat),
                "stalls": partial(_stalls, watching.heartbeat),
            }
        )


def _resident() -> float:
    """KiB of this process in memory, garbage not counted."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


async def _cpu(heartbeat: float, command: Command) -> Command:
    """CPU seconds of each round, nobody looking."""
    used = []
    for _ in range(command["rounds"]):
        started = process_time()
        await asyncio.sleep(heartbeat)
        used.append(process_time() - started)
    return {"cpu": used}


async def _stalls(heartbeat: float, command: Command) -> Command:
    """Of each round: how late is the latest of many sleeps, and how much was computed during one?"""
    stalls, computing = [], []
    for _ in range(command["rounds"]):
        stall = busy = 0.0
        ends = perf_counter() + heartbeat
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
    library, watched, loop, heartbeat, *folder = sys.argv[1:]
    watching = Watching(watched, float(heartbeat), Path(*folder) if folder else None)
    run_child(_serve(library, watching), import_module(loop).new_event_loop)
