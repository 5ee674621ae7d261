"""Clients that receive slowly, or not at all, while much waits to be sent to them (R3b)."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiohttp import web
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.server import ServerConnection, serve

from shim import aio, asgi, websockets
from shim.console.listener import listen
from shim.flags.targeting import everyone_at
from shim.model import Role, Stage, from_seconds
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.driver import clock
from shim.runtime.live_connection import LiveConnection
from shim.runtime.tally import Tally
from shim.settings.settings import Settings, load_settings
from tests.asgi.uvicorn_servers import uvicorn_server
from tests.live.servers import QUICK
from tests.telemetry.collectors import Certificate
from tests.waiting import until

pytestmark = pytest.mark.real

TIMEOUT, INTERVAL = 1.5, 0.5
"""Seconds, as in `QUICK`."""

SIZE = 6_000_000
CHUNK = 100_000
"""Each is read 40 ms after the one before: all of them take 2.4 s, which is longer than the timeout and shorter
than three."""


@dataclass
class Service:
    port: int
    tally: Tally
    lives: list[LiveConnection]
    size: int = SIZE
    trickle: bool = False
    """Send small messages all the time, instead of a big one."""

    async def send(self, send_bytes: Any) -> None:
        if not self.trickle:
            await send_bytes(bytes(self.size))
        while self.trickle:
            await send_bytes(bytes(200))
            await asyncio.sleep(0.05)

    @property
    def decided(self) -> int:
        return self.tally.decisions[Role.CANDIDATE, True]


@asynccontextmanager
async def aiohttp_service(settings: Settings, tls: ssl.SSLContext | None) -> AsyncIterator[Service]:
    it = Service(0, Tally(), [])
    shim = aio.Shim(settings, everyone_at(Stage.COMPLETE).evaluate, [it.tally])

    async def handle(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket(compress=False, timeout=1)
        await websocket.prepare(request)
        async with shim.register_app_connection(websocket, "u", "s", "p") as live:
            it.lives.append(live)
            with suppress(ConnectionResetError):
                await it.send(websocket.send_bytes)
            async for _ in live:
                pass
        return websocket

    app = web.Application()
    app.cleanup_ctx.append(shim.lifespan)
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener, ssl_context=tls).start()
    it.port = listener.getsockname()[1]
    try:
        yield it
    finally:
        it.trickle = False
        await runner.cleanup()


@asynccontextmanager
async def websockets_service(
    settings: Settings, tls: ssl.SSLContext | None
) -> AsyncIterator[Service]:
    it = Service(0, Tally(), [])
    shim = websockets.Shim(settings, everyone_at(Stage.COMPLETE).evaluate, [it.tally])

    async def handle(websocket: ServerConnection) -> None:
        async with shim.register_app_connection(websocket, "u", "s", "p") as live:
            it.lives.append(live)
            await it.send(websocket.send)
            async for _ in websocket:
                pass

    options = {**shim.options, "compression": None, "ssl": tls}
    async with serve(handle, "127.0.0.1", 0, **options) as server, shim:
        it.port = server.sockets[0].getsockname()[1]
        yield it
        it.trickle = False


@asynccontextmanager
async def uvicorn_service(settings: Settings, tls: ssl.SSLContext | None) -> AsyncIterator[Service]:
    it = Service(0, Tally(), [])
    shim = asgi.Shim(settings, everyone_at(Stage.COMPLETE).evaluate, [it.tally])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        async with shim.register_app_connection(scope, "u", "s", "p") as live:
            it.lives.append(live)
            with suppress(ClientDisconnected):
                await it.send(lambda data: send({"type": "websocket.send", "bytes": data}))
            while (await receive())["type"] != "websocket.disconnect":
                pass

    options = {"lifespan": "off", "ws_per_message_deflate": False}
    async with shim, uvicorn_server(app, tls=tls, **options) as server:
        it.port = server.port
        yield it
        it.trickle = False


SERVICES = {
    "aiohttp": aiohttp_service,
    "uvicorn": uvicorn_service,
    "websockets": websockets_service,
}
Scenario = Callable[[Service, bool], Coroutine[Any, Any, None]]


async def everywhere(folder: Path, scenario: Scenario, settings: str = QUICK) -> None:
    """Play the scenario at one time with each library, with and without TLS."""
    path = folder / "shim.yaml"
    path.write_text(settings)
    loaded = load_settings(path, monitor_types(plugin_manager()))
    certificate = Certificate.make(folder, "service")

    async def play(library: str, encrypted: bool) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if encrypted else None
        if tls is not None:
            tls.load_cert_chain(certificate.file, certificate.key)
        async with SERVICES[library](loaded, tls) as it:
            try:
                await scenario(it, encrypted)
            except BaseException as error:
                error.add_note(f"{library}, {'with' if encrypted else 'without'} TLS")
                raise

    async with asyncio.TaskGroup() as group:
        for library in SERVICES:
            for encrypted in (False, True):
                group.create_task(play(library, encrypted))


@asynccontextmanager
async def client(
    service: Service, encrypted: bool
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """After the handshake; its kernel takes little before it is read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", service.port))
    tls = None
    if encrypted:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        sock=sock, limit=CHUNK // 4, ssl=tls, server_hostname="localhost" if tls else None
    )
    writer.write(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def read_slowly(reader: asyncio.StreamReader, size: int) -> None:
    for _ in range(size // CHUNK):
        await reader.readexactly(CHUNK)
        await asyncio.sleep(0.04)


async def receives_slowly(it: Service, encrypted: bool) -> None:
    """It says nothing for longer than the timeout: the pings are behind what it still receives."""
    async with client(it, encrypted) as (reader, writer):
        started = monotonic()
        await read_slowly(reader, SIZE)
        assert monotonic() - started > TIMEOUT
        signs = it.lives[0].tracked.signs
        writer.write(b"\x81\x82\x00\x00\x00\x00hi")
        await until(lambda: it.lives[0].tracked.signs > signs)
        assert it.decided == 0


async def freezes_on_the_way(it: Service, encrypted: bool) -> None:
    """Closed after its timeout, and at most after what two pings find out."""
    async with client(it, encrypted) as (reader, _):
        await read_slowly(reader, SIZE // 4)
        await until(lambda: it.decided, timeout=TIMEOUT + 3 * INTERVAL)
        await until(lambda: it.lives[0].ended)


async def is_frozen(it: Service, encrypted: bool) -> None:
    """Its buffer is full from the beginning."""
    async with client(it, encrypted):
        await until(lambda: it.decided, timeout=TIMEOUT + 2 * INTERVAL)
        await until(lambda: it.lives[0].ended)


async def is_frozen_behind_its_kernel(it: Service, encrypted: bool) -> None:
    """Small messages and pings are acknowledged as they come, although nobody reads them."""
    it.trickle = True
    async with client(it, encrypted):
        await until(lambda: it.decided, timeout=TIMEOUT + 2 * INTERVAL)
        await until(lambda: it.lives[0].ended)


async def receives_for_ever(it: Service, encrypted: bool) -> None:
    """Nobody is waited for longer than three timeouts."""
    it.size = 10 * SIZE
    async with client(it, encrypted) as (reader, _):
        reading = asyncio.create_task(read_slowly(reader, it.size))
        await until(lambda: it.decided)
        waited = clock() - it.lives[0].tracked.opened_at
        assert waited >= from_seconds(3 * TIMEOUT - INTERVAL)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


SCENARIOS: list[Scenario] = [
    receives_slowly,
    freezes_on_the_way,
    is_frozen,
    is_frozen_behind_its_kernel,
    receives_for_ever,
]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a peer acknowledged")
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_r3b_while_a_backlog_drains_silence_is_not_judged(
    tmp_path: Path, scenario: Scenario
) -> None:
    await everywhere(tmp_path, scenario)


def _unsent(live: LiveConnection) -> int:
    assert live.transport is not None
    return live.transport.get_write_buffer_size()


@pytest.mark.parametrize("by_a_frame", [True, False])
async def test_r2_a_client_that_closes_and_receives_nothing_more_is_gone(
    tmp_path: Path, by_a_frame: bool
) -> None:
    async def closes_and_freezes(it: Service, encrypted: bool) -> None:
        async with client(it, encrypted) as (_, writer):
            await until(lambda: it.lives and _unsent(it.lives[0]))
            if by_a_frame or encrypted:
                writer.write(b"\x88\x82\x00\x00\x00\x00" + (1000).to_bytes(2))
            else:
                writer.write_eof()
            await until(lambda: it.lives[0].ended)

    await everywhere(tmp_path, closes_and_freezes)
