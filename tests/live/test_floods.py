"""What one client may cost before and after its login: compression, long messages, many messages."""

import asyncio
import json
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from shim.model import SECOND, Stage
from shim.server.sockets import Budget
from tests.live.servers import QUICK, app_client, server
from tests.live.test_peers import handshake, raw_glasses
from tests.waiting import until

pytestmark = pytest.mark.real

COMPRESSED = QUICK.replace("server: {", "server: {compression: true, ")
DEFLATE: Any = {"Sec-WebSocket-Extensions": "permessage-deflate"}
INIT = {
    "type": "tpa_connection_init",
    "sessionId": "u-com.example.app1",
    "packageName": "com.example.app1",
    "apiKey": "dev",
}


def masked(first: int, payload: bytes) -> bytes:
    """A frame of a client, with a mask that changes nothing."""
    length = len(payload)
    if length < 126:
        return bytes((first, 0x80 | length)) + bytes(4) + payload
    return bytes((first, 0x80 | 126)) + length.to_bytes(2, "big") + bytes(4) + payload


def bomb(size: int) -> bytes:
    """A compressed text frame, a thousandth of what it inflates to."""
    deflate = zlib.compressobj(wbits=-15)
    payload = deflate.compress(b" " * size) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return masked(0xC1, payload.removesuffix(b"\0\0\xff\xff"))


async def test_nothing_is_compressed_unless_a_setting_says_so(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, "u", compress=15)
        assert client.compress == 0
        await client.close()


async def test_with_the_setting_clients_may_compress(tmp_path: Path) -> None:
    async with server(tmp_path, settings=COMPRESSED) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, "u", compress=15)
        assert client.compress == 15
        await client.send_str(json.dumps({"type": "ping", "padding": " " * 100_000}))
        assert (await client.receive_json(timeout=60))["type"] == "pong"
        await client.close()


@pytest.mark.parametrize("parts", [1, 50])
async def test_a_long_first_message_is_1009_before_it_has_come(tmp_path: Path, parts: int) -> None:
    """In one piece, or in many small frames."""
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(f"{it.url}/app-ws")
        connection = client._response.connection
        assert connection is not None
        assert connection.transport is not None
        text = json.dumps({**INIT, "padding": "x" * 10_000}).encode()
        size = -(-len(text) // parts)
        for n in range(0, len(text), size):
            kind = WSMsgType.CONTINUATION if n else WSMsgType.TEXT
            first = (0x80 if n + size >= len(text) else 0) | int(kind)
            connection.transport.write(masked(first, text[n : n + size]))
        message = await client.receive(timeout=60)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
        assert it.connections() == 0


async def test_what_follows_the_first_message_waits_for_the_login(tmp_path: Path) -> None:
    """A client need not wait for the acknowledgement: nothing of what it sends is lost."""
    loop = asyncio.get_running_loop()
    messages = 500
    async with server(tmp_path) as it, handshake(it.url, "/app-ws") as sock:
        ping = masked(0x81, json.dumps({"type": "ping", "padding": " " * 200}).encode())
        await loop.sock_sendall(sock, masked(0x81, json.dumps(INIT).encode()) + ping * messages)
        received = b""
        while received.count(b'"pong"') < messages:
            received += await loop.sock_recv(sock, 1 << 16)
        assert received.count(b"tpa_connection_ack") == 1
        (tracked,) = it.shim.router.connections()
        # Those within the size of the first message came before the registration.
        assert tracked.signs >= messages - 8192 // 200


async def test_before_the_login_little_is_inflated(tmp_path: Path) -> None:
    """The rest of what such clients send is not even read."""
    loop = asyncio.get_running_loop()
    frames = bomb(1_000_000) * 250
    async with server(tmp_path, settings=COMPRESSED) as it:

        async def attack() -> None:
            async with handshake(it.url, "/app-ws", **DEFLATE) as sock:
                received = b""
                with suppress(ConnectionError):
                    await loop.sock_sendall(sock, frames)
                    while chunk := await loop.sock_recv(sock, 4096):
                        received += chunk
                assert b"the first message must be tpa_connection_init" in received

        await asyncio.gather(*(attack() for _ in range(5)))
        assert it.connections() == 0


async def test_after_the_close_frame_little_is_inflated(tmp_path: Path) -> None:
    """A connection that is being closed is aborted when a client goes on with such messages."""
    loop = asyncio.get_running_loop()
    settings = COMPRESSED.replace("close_timeout: 500ms", "close_timeout: 60s")
    async with server(tmp_path, settings=settings) as it:  # noqa: SIM117
        async with handshake(it.url, "/app-ws", **DEFLATE) as sock:
            await loop.sock_sendall(sock, masked(0x81, json.dumps(INIT).encode()))
            await until(lambda: it.shim.sessions)
            (session,) = it.shim.sessions.values()
            (live,) = session.members()
            live.begin_close(4000, "bye", 60 * SECOND)
            with suppress(ConnectionError):
                await loop.sock_sendall(sock, bomb(1_000_000) * 100)
            await until(lambda: live.ended)
            assert live.websocket.aborted


async def test_a_flood_of_one_client_is_read_as_slowly_as_its_budget_says(tmp_path: Path) -> None:
    """Another client is served meanwhile, and the flooding one stays: it is not silent."""
    settings = COMPRESSED.replace("compression", "message_rate: 100000, compression")
    loop = asyncio.get_running_loop()
    async with server(tmp_path, Stage.LIVE, settings) as it, aiohttp.ClientSession() as http:  # noqa: SIM117
        async with handshake(it.url, "/app-ws", **DEFLATE) as sock:
            await loop.sock_sendall(sock, masked(0x81, json.dumps(INIT).encode()))
            await until(lambda: it.shim.sessions)
            (session,) = it.shim.sessions.values()
            (live,) = session.members()
            await loop.sock_sendall(sock, bomb(100_000) * 300)
            other = await app_client(http, it.url, "other")
            await other.send_str('{"type": "ping"}')
            assert (await other.receive_json(timeout=60))["type"] == "pong"
            # Two seconds at once, and then what the queue holds.
            assert 0 < live.tracked.signs < 10
            assert live.tracked.closed_by is None
            await other.close()


def test_a_budget_is_so_many_bytes_in_a_second() -> None:
    now = 0
    budget = Budget(10_240, lambda: now)
    assert budget.charge(10_240 - 1024) == 0
    assert budget.charge(10_240 - 1024) == 0
    assert budget.charge(5120 - 1024) == SECOND // 2
    now += 10 * SECOND
    assert budget.charge(20_480 - 1024) == 0
    assert budget.charge(10_000_000) == 5 * SECOND


def test_short_messages_count_too() -> None:
    budget = Budget(10_240, lambda: 0)
    assert [budget.charge(0) > 0 for _ in range(21)] == [False] * 20 + [True]


async def test_glasses_are_known_before_their_first_message(tmp_path: Path) -> None:
    """Their token was in the handshake, so that message may be long."""
    loop = asyncio.get_running_loop()
    async with server(tmp_path) as it, raw_glasses(it.url, "u") as sock:
        text = json.dumps({"type": "ping", "padding": " " * 30_000}).encode()
        await loop.sock_sendall(sock, masked(0x81, text))
        received = b""
        while b'"pong"' not in received:
            received += await loop.sock_recv(sock, 4096)
