"""Real half-open peers: decided in time, and nothing of them left behind."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from time import monotonic

import aiohttp
import pytest

from shim.aio.aiohttp_connection import AiohttpConnection
from shim.model import SECOND, Stage
from shim.router import NO_CONFIRMATION
from tests.live.moved_clock import MovedClock
from tests.live.servers import app_client, server, token
from tests.waiting import until

pytestmark = pytest.mark.real
CLIENTS = 20


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def handshake(
    url: str, path: str, receive_buffer: int = 0, **headers: str
) -> AsyncIterator[socket.socket]:
    """A client made of nothing but a socket: after the handshake it does not even read."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (host, int(port)))
        request = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        await loop.sock_sendall(sock, "\r\n".join([*request, "", ""]).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await loop.sock_recv(sock, 1)
        assert answer.startswith(b"HTTP/1.1 101 ")
        yield sock


def raw_glasses(
    url: str, user: str, receive_buffer: int = 0
) -> AbstractAsyncContextManager[socket.socket]:
    return handshake(url, "/glasses-ws", receive_buffer, **token(user))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
@pytest.mark.parametrize("pending", [0, 8_000_000])
@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.COMPLETE])
async def test_a_peer_that_never_answers_is_gone_in_time(
    tmp_path: Path, stage: Stage, pending: int
) -> None:
    async with server(tmp_path, stage) as it:
        before, started = descriptors(), monotonic()
        async with raw_glasses(it.url, "u", receive_buffer=4096):
            await until(lambda: it.shim.sessions)
            (session,) = it.shim.sessions.values()
            live = session.glasses_connection
            assert live is not None
            transport = live.websocket.transport
            assert transport is not None
            if pending:
                transport.write(b"\x82\x7f" + pending.to_bytes(8, "big") + bytes(pending))
                assert transport.get_write_buffer_size() > pending // 2
            await until(lambda: live.tracked.closed_by is not None)
            # The close timeout is 0.5 s; aiohttp itself waits 10 s.
            await until(lambda: descriptors() <= before + 1, timeout=8)
            assert monotonic() - started > 1.5
            assert live.websocket.aborted
        # The handler learns of the end from its pending receive, a little after the descriptor is gone.
        await until(lambda: descriptors() <= before and not it.shim.sessions)


async def test_r2_nothing_of_the_application_follows_a_close_frame(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with server(tmp_path) as it, raw_glasses(it.url, "u") as sock:
        await until(lambda: it.shim.sessions)
        (session,) = it.shim.sessions.values()
        assert session.glasses_connection is not None
        websocket = session.glasses_connection.websocket
        websocket.begin_close(4000, "bye", SECOND // 2)
        for send in (
            websocket.send_str("late"),
            websocket.send_bytes(b"late"),
            websocket.send_json("late"),
            websocket.send_frame(b"late", aiohttp.WSMsgType.TEXT),
            websocket.ping(b"late"),
            websocket.pong(b"late"),
        ):
            with pytest.raises(ConnectionResetError):
                await send
        received = b""
        with suppress(ConnectionResetError):
            while chunk := await loop.sock_recv(sock, 4096):
                received += chunk
        assert received.endswith(b"\x88\x05\x0f\xa0bye")


@pytest.mark.parametrize("kilobytes_a_second", [1, 32, 320])
async def test_r3b_a_busy_handler_is_not_a_dead_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kilobytes_a_second: int
) -> None:
    assert await closed_while_busy(tmp_path, monkeypatch, kilobytes_a_second) == 0


async def test_r3b_a_handler_that_is_too_busy_to_read_on_is_saved_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp stops reading when its queue is full: from then on only the kernel knows of the client."""
    monkeypatch.setattr(AiohttpConnection, "confirm", lambda live: NO_CONFIRMATION)
    # The guard may hold the last of them.
    assert await closed_while_busy(tmp_path, monkeypatch, 320) >= CLIENTS - 1


@pytest.mark.parametrize("kilobytes_a_second", [1, 32])
async def test_signs_of_life_are_seen_where_frames_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kilobytes_a_second: int
) -> None:
    """While the queue has room the kernel need not be asked, although the handler receives nothing."""
    monkeypatch.setattr(AiohttpConnection, "confirm", lambda live: NO_CONFIRMATION)
    assert await closed_while_busy(tmp_path, monkeypatch, kilobytes_a_second) == 0


async def closed_while_busy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kilobytes_a_second: int
) -> int:
    """Handlers receive nothing for twice the timeout while clients keep sending; how many are closed?"""
    free = asyncio.Event()
    receive = AiohttpConnection.__anext__

    async def receive_when_free(live: AiohttpConnection) -> aiohttp.WSMessage:
        await free.wait()
        return await receive(live)

    monkeypatch.setattr(AiohttpConnection, "__anext__", receive_when_free)
    chunk = "x" * (kilobytes_a_second * 100)

    time = MovedClock(monkeypatch)
    tick = asyncio.Condition()

    async def talk(websocket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(ConnectionResetError):
            while True:
                await websocket.send_str(chunk)
                async with tick:
                    await tick.wait()

    async with server(folder, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        sockets = [await app_client(http, it.url, f"u{n}") for n in range(CLIENTS)]
        lives = [live for session in it.shim.sessions.values() for live in session.members()]
        talkers = [asyncio.create_task(talk(websocket)) for websocket in sockets]
        for _ in range(32):
            await time.move(it.shim, 0.1)
            async with tick:
                tick.notify_all()
        assert all(live.tracked.signs for live in lives)
        free.set()
        for talker in talkers:
            talker.cancel()
        await asyncio.gather(*talkers, return_exceptions=True)
        return sum(live.tracked.closed_by is not None for live in lives)
