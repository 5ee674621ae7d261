"""The aiohttp WebSocket of the shim in the place of aiohttp's own: every way to read, and its options."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from shim.aio import WebSocket
from shim.model import SECOND, Cause
from tests.live.aiohttp_service import (
    Handler,
    Service,
    by_receive,
    by_receive_json,
    by_receive_str,
    by_receive_with_a_timeout,
    by_the_connection,
    by_the_websocket,
    not_at_all,
    service,
)
from tests.live.test_peers import handshake
from tests.waiting import until

pytestmark = pytest.mark.real


WAYS = [
    by_the_connection,
    by_the_websocket,
    by_receive,
    by_receive_with_a_timeout,
    by_receive_str,
    by_receive_json,
    not_at_all,
]


@pytest.mark.parametrize("read", WAYS)
async def test_every_sign_of_life_counts_however_the_handler_reads(
    tmp_path: Path, read: Handler
) -> None:
    """A client that answers pings outlives its timeout; the handler gets the messages, and only those."""
    async with service(tmp_path, read) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(it.url, autoping=False)
        await client.send_str('"one"')
        pings = 0
        while pings < 5:  # each 0.5 s, at a timeout of 1.5 s
            message = await client.receive(timeout=10)
            assert message.type is WSMsgType.PING
            pings += 1
            await client.pong(message.data)
        (tracked,) = it.shim.router.connections()
        await until(lambda: tracked.signs == 1 + pings)
        assert tracked.closed_by is None
        # A ping of the client is answered, and is evidence of life (R3b).
        before = tracked.candidate.last_data
        await client.ping(b"are you there?")
        while (message := await client.receive(timeout=10)).type is WSMsgType.PING:
            await client.pong(message.data)
        assert (message.type, message.data) == (WSMsgType.PONG, b"are you there?")
        assert tracked.candidate.last_data > before
        await client.send_str('"two"')
        await client.close()
        await until(lambda: not it.shim.sessions)
        assert it.told == ([] if read is not_at_all else ['"one"', '"two"'])


@pytest.mark.parametrize("read", [by_the_websocket, by_receive])
async def test_pings_are_answered_before_the_connection_is_registered(
    tmp_path: Path, read: Handler
) -> None:
    async with (
        service(tmp_path, read, registered=False) as it,
        aiohttp.ClientSession() as http,
    ):
        client = await http.ws_connect(it.url, autoping=False)
        await client.ping(b"early")
        assert (await client.receive(timeout=10)).data == b"early"
        await client.send_str("hello")
        await client.close()
        await until(lambda: it.told == ["hello"])


async def test_a_client_that_hangs_up_before_it_is_registered_leaves_nothing(
    tmp_path: Path,
) -> None:
    async def slow_to_register(it: Service, websocket: WebSocket, live: Any) -> None:
        await until(lambda: websocket.transport is None)
        async with it.shim.register_app_connection(websocket, "u", "s", "p") as late:
            it.told.append([message async for message in late])

    async with service(tmp_path, slow_to_register, registered=False) as it:
        async with handshake(it.url, "/"):
            pass
        await until(lambda: it.told)
        assert it.told == [[]]
        assert it.closings.all == [(Cause.PEER, None, 1006)]
        assert not it.shim.sessions
        assert not it.shim.router.connections()


async def test_a_websocket_is_prepared_before_it_is_registered(tmp_path: Path) -> None:
    async with service(tmp_path, by_the_websocket) as it:
        with pytest.raises(RuntimeError, match=r"Call \.prepare\(\) first"):
            it.shim.register_app_connection(it.shim.websocket(), "u", "s", "p")
        assert not it.shim.sessions
        assert not it.shim.router.connections()


async def test_the_monitors_ping_and_no_heartbeat_of_aiohttp(tmp_path: Path) -> None:
    async with service(tmp_path, by_the_websocket) as it:
        with pytest.raises(ValueError, match="heartbeat"):
            it.shim.websocket(heartbeat=30)
        it.shim.websocket(heartbeat=None)


async def test_without_autoping_the_application_gets_pings_and_pongs(tmp_path: Path) -> None:
    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        async for message in websocket:
            it.told.append((message.type, message.data))

    async with (
        service(tmp_path, handler, autoping=False) as it,
        aiohttp.ClientSession() as http,
    ):
        client = await http.ws_connect(it.url, autoping=False)
        await client.ping(b"answer this yourself")
        await client.pong(b"unasked")
        await until(lambda: len(it.told) == 2)
        assert it.told == [
            (WSMsgType.PING, b"answer this yourself"),
            (WSMsgType.PONG, b"unasked"),
        ]
        (tracked,) = it.shim.router.connections()
        assert tracked.signs == 1
        await client.close()


async def test_without_autoclose_the_application_replies(tmp_path: Path) -> None:
    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        message = await websocket.receive()
        it.told.append((message.type, message.data, websocket.closed))
        await websocket.close(code=4002)

    async with (
        service(tmp_path, handler, registered=False, autoclose=False) as it,
        aiohttp.ClientSession() as http,
    ):
        client = await http.ws_connect(it.url)
        await client.close(code=4001)
        await until(lambda: it.told)
        assert it.told == [(WSMsgType.CLOSE, 4001, False)]
        assert client.close_code == 4002


async def test_two_tasks_cannot_receive_at_once(tmp_path: Path) -> None:
    async with service(tmp_path, by_the_websocket) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(it.url)
        await until(lambda: it.websockets)
        for timeout in (None, 1):
            with pytest.raises(RuntimeError, match=r"Concurrent call to receive\(\)"):
                await it.websockets[0].receive(timeout)
        await client.close()


async def test_a_frame_that_breaks_the_protocol_ends_the_connection(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with (
        service(tmp_path, by_the_connection) as it,
        handshake(it.url, "/") as sock,
    ):
        await loop.sock_sendall(sock, b"\x83\x80\x00\x00\x00\x00")  # opcode 3 is reserved
        received = b""
        while chunk := await loop.sock_recv(sock, 4096):
            received += chunk
        assert b"\x88\x02" + (1002).to_bytes(2, "big") in received
        await until(lambda: not it.shim.sessions)


async def test_a_close_of_the_service_is_bounded_by_its_timeout(tmp_path: Path) -> None:
    async with service(tmp_path, not_at_all) as it, handshake(it.url, "/"):
        await until(lambda: it.shim.sessions)
        it.websockets[0].begin_close(4000, "", SECOND // 5)
        await until(lambda: it.closings.all)
        assert it.closings.all == [(Cause.APPLICATION, 4000, 1006)]
        assert it.websockets[0].aborted
