"""The shim in ASGI applications on uvicorn, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from shim.asgi import Shim
from shim.flags.targeting import everyone_at
from shim.model import Cause, Role, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.tally import Tally
from shim.settings.settings import load_settings
from tests.asgi.uvicorn_servers import Uvicorn, uvicorn_server
from tests.live.moved_clock import MovedClock
from tests.live.scenarios import (
    Told,
    closes_a_silent_client,
    replaces_the_older_connection,
    serves_and_watches_and_ends,
)
from tests.live.servers import PATIENT, QUICK
from tests.live.test_peers import handshake
from tests.waiting import until

pytestmark = pytest.mark.real
TEXT, CLOSE, PING = 1, 8, 9


@dataclass
class Service:
    """While `receives` is clear, endpoints receive nothing."""

    shim: Shim
    tally: Tally
    told: Told
    receives: asyncio.Event
    server: Uvicorn

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def http(self) -> str:
        return self.url.replace("ws:", "http:").removesuffix("/")


def masked(opcode: int, payload: bytes) -> bytes:
    """A frame of a client; its mask is zero."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


@asynccontextmanager
async def service(
    folder: Path, stage: Stage, settings: str = QUICK, **options: object
) -> AsyncIterator[Service]:
    config = folder / "shim.yaml"
    config.write_text(settings)
    tally, told, receives = Tally(), Told(), asyncio.Event()
    receives.set()
    loaded = load_settings(config, monitor_types(plugin_manager()))
    shim = Shim(loaded, everyone_at(stage).evaluate, [tally, told])

    async def endpoint(websocket: WebSocket) -> None:
        user = websocket.url.path.removeprefix("/")
        await websocket.accept()
        if user == "without-context":
            shim.register_app_connection(websocket, user, user, "com.example.app1")
            await websocket.receive()
            return
        async with shim.register_app_connection(websocket, user, user, "com.example.app1"):
            await receives.wait()
            async for message in websocket.iter_text():
                if message == "bye":
                    return
                if message == "fail":
                    raise ValueError("a fault of the endpoint")
                if message.startswith("close "):
                    await websocket.close(int(message.removeprefix("close ")), "as asked")
                    continue
                await websocket.send_text(f"you said {message!r}")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with shim:
            yield

    app = Starlette(routes=[WebSocketRoute("/{user}", endpoint)], lifespan=lifespan)
    async with uvicorn_server(app, **options) as server:
        yield Service(shim, tally, told, receives, server)
        receives.set()


async def test_it_serves_and_watches_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovedClock(monkeypatch)
    async with service(tmp_path, Stage.LIVE) as it:
        await serves_and_watches_and_ends(it, clock)


@pytest.mark.parametrize(
    ("stage", "intended", "role"),
    [(Stage.COMPLETE, 1001, Role.CANDIDATE), (Stage.SHADOW, None, Role.CONTROL)],
)
async def test_a_silent_client_is_closed_as_its_monitor_wants(
    tmp_path: Path, stage: Stage, intended: int | None, role: Role
) -> None:
    async with service(tmp_path, stage) as it:
        await closes_a_silent_client(it, intended, role)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage.SHADOW, "hello"),
        (Stage.COMPLETE, "nothing"),
        (Stage.COMPLETE, "hello"),
        (Stage.OFF, "close 4001"),
    ],
)
async def test_a_peer_that_reads_nothing_is_gone_in_time(
    tmp_path: Path, stage: Stage, message: str
) -> None:
    """Whether the endpoint waits for a message, for room in the send buffer, or for its own closing."""
    async with service(tmp_path, stage) as it:
        last_heard = monotonic()
        async with handshake(it.http, "/u", 4096) as sock:
            await until(lambda: it.shim.sessions)
            (session,) = it.shim.sessions.values()
            (live,) = session.members()
            live.transport.write(b"\x82\x7f" + (8_000_000).to_bytes(8, "big") + bytes(8_000_000))
            if message != "nothing":
                last_heard = monotonic()
                sock.send(masked(TEXT, message.encode()))
            await until(lambda: it.told.closings, timeout=15)
            intended = (
                4001 if message == "close 4001" else 1001 if stage is Stage.COMPLETE else None
            )
            assert it.told.closings[0].intended == intended
            if message == "close 4001":
                assert it.told.closings[0].cause is Cause.APPLICATION
            else:
                assert monotonic() - last_heard > 1.5
            await until(lambda: not it.server.server_state.tasks)


async def test_a_close_reply_that_cannot_be_sent_does_not_keep_the_socket(tmp_path: Path) -> None:
    async with (
        service(tmp_path, Stage.COMPLETE, PATIENT) as it,
        handshake(it.http, "/u", 4096) as sock,
    ):
        await until(lambda: it.shim.sessions)
        (session,) = it.shim.sessions.values()
        (live,) = session.members()
        live.transport.write(b"\x82\x7f" + (8_000_000).to_bytes(8, "big") + bytes(8_000_000))
        sock.send(masked(CLOSE, (1000).to_bytes(2, "big")))
        await until(lambda: it.told.closings, timeout=15)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended, closing.observed) == (Cause.PEER, None, 1000)


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.COMPLETE])
async def test_r3b_a_busy_endpoint_is_not_a_dead_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    """The pongs behind a message that the endpoint has not taken are seen."""
    clock = MovedClock(monkeypatch)
    async with service(tmp_path, stage) as it:
        it.receives.clear()
        async with connect(f"{it.url}u") as client:
            await client.send("hello")
            await clock.move(it.shim, 4)
            assert [t.closed_by for t in it.shim.router.connections()] == [None]
            assert not it.tally.decisions
            it.receives.set()
            assert await client.recv() == "you said 'hello'"


async def test_r3b_an_endpoint_that_is_too_busy_to_read_on_is_not_a_dead_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read any more, and the client that cannot send waits: the kernel is asked."""
    clock = MovedClock(monkeypatch)
    async with service(tmp_path, Stage.COMPLETE) as it:
        it.receives.clear()
        async with connect(f"{it.url}u") as client:
            sending: list[asyncio.Task[None]] = []
            for _ in range(32):
                if all(task.done() for task in sending):
                    sending.append(asyncio.create_task(client.send("x" * 30_000)))
                await clock.move(it.shim, 0.1)
            (session,) = it.shim.sessions.values()
            (live,) = session.members()
            assert not live.transport.is_reading()
            assert live.tracked.closed_by is None
            client.transport.abort()
            await asyncio.gather(*sending, return_exceptions=True)
            it.receives.set()


async def test_what_waits_for_a_busy_endpoint_is_bounded(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.LIVE) as it, handshake(it.http, "/u") as sock:
        it.receives.clear()
        await until(lambda: it.shim.sessions)
        (session,) = it.shim.sessions.values()
        (live,) = session.members()
        flood = masked(TEXT, b"x" * 4000) * 2000
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(sock, flood))
        await until(lambda: not live.transport.is_reading())
        assert live.protocol.queue.qsize() < 100
        sending.cancel()


async def test_only_the_latest_ping_of_a_client_that_reads_nothing_is_answered(
    tmp_path: Path,
) -> None:
    """RFC 6455 section 5.5.3; pongs to a client that reads nothing would pile up without bound."""
    loop = asyncio.get_running_loop()
    async with (
        service(tmp_path, Stage.OFF, PATIENT) as it,
        handshake(it.http, "/u", 4096) as sock,
    ):
        await until(lambda: it.shim.sessions)
        (session,) = it.shim.sessions.values()
        (live,) = session.members()
        live.transport.write(b"\x82\x7f" + (8_000_000).to_bytes(8, "big") + bytes(8_000_000))
        size = live.transport.get_write_buffer_size()
        assert size > 1_000_000
        for number in range(200):
            await loop.sock_sendall(sock, masked(PING, b"%0125d" % number))
        await until(lambda: (live.protocol._pong or b"").endswith(b"199"))
        # The monitor's own pings take two bytes each; the pongs would take 25 000.
        assert live.transport.get_write_buffer_size() < size + 1_000
        client = ClientProtocol(parse_uri(f"{it.url}u"), state=State.OPEN, max_size=None)
        frames: list[Frame] = []
        while not any(frame.opcode is Opcode.PONG for frame in frames):
            data = await loop.sock_recv(sock, 65536)
            assert data
            client.receive_data(data)
            # The monitor may ping at any time.
            for event in client.events_received():
                assert isinstance(event, Frame)
                if event.opcode is not Opcode.PING:
                    frames.append(event)
        assert [frame.opcode for frame in frames] == [Opcode.BINARY, Opcode.PONG]
        assert frames[-1].data == b"%0125d" % 199


async def test_a_newer_connection_replaces_the_older(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.LIVE) as it:
        await replaces_the_older_connection(it)


@pytest.mark.parametrize(
    ("message", "code", "reason"), [("fail", 1011, ""), ("close 4001", 4001, "as asked")]
)
async def test_the_application_closes_with_its_code(
    tmp_path: Path, message: str, code: int, reason: str
) -> None:
    async with service(tmp_path, Stage.LIVE) as it, connect(f"{it.url}u") as client:
        await client.send(message)
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (code, reason)
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended, closing.observed) == (
            Cause.APPLICATION,
            code,
            code,
        )


@pytest.mark.parametrize(
    ("leaves", "cause", "observed"),
    [
        ("endpoint", Cause.APPLICATION, 1006),
        ("client", Cause.PEER, 1000),
        ("abort", Cause.PEER, 1006),
    ],
)
async def test_without_the_context_the_cause_is_told_nevertheless(
    tmp_path: Path, leaves: str, cause: Cause, observed: int
) -> None:
    """uvicorn sends no close frame when an endpoint returns."""
    async with service(tmp_path, Stage.LIVE) as it, connect(f"{it.url}without-context") as client:
        if leaves == "endpoint":
            await client.send("hello")
        elif leaves == "client":
            await client.close()
        else:
            client.transport.abort()
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended, closing.observed) == (cause, None, observed)


async def test_r14b_a_close_reply_that_came_during_a_pause_is_seen(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.COMPLETE) as it, handshake(it.http, "/u") as sock:
        await until(lambda: it.tally.decisions[Role.CANDIDATE, True])
        sock.send(masked(CLOSE, (1001).to_bytes(2, "big")))
        time.sleep(1)  # noqa: ASYNC251 - longer than the close timeout
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended, closing.observed) == (Cause.CANDIDATE, 1001, 1001)
        assert it.tally.proofs_of_life[Role.CANDIDATE] == 1
