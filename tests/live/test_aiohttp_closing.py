"""How a connection of aiohttp ends: closed by the application, by its client, or with its handler."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from shim.aio import WebSocket
from shim.model import Cause
from tests.live.aiohttp_service import (
    Handler,
    Service,
    by_receive_with_a_timeout,
    by_the_websocket,
    not_at_all,
    service,
)
from tests.live.test_peers import handshake
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.mark.parametrize("read", [by_the_websocket, by_receive_with_a_timeout, not_at_all])
async def test_another_task_may_close(tmp_path: Path, read: Handler) -> None:
    """Whether the handler receives or not; the codes and the text are the client's and the service's."""
    async with service(tmp_path, read) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(it.url)
        await until(lambda: it.websockets)
        reading = asyncio.create_task(client.receive())
        (websocket,) = it.websockets
        async with asyncio.timeout(5):
            assert await websocket.close(code=4001, message="go away")
        message = await reading
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "go away")
        # aiohttp's client answers every close with 1000.
        assert websocket.close_code == 1000
        assert not await websocket.close()
        await until(lambda: not it.shim.sessions)
        assert it.errors == []


async def test_a_handler_that_receives_learns_at_once_that_another_task_closes(
    tmp_path: Path,
) -> None:
    """Whoever closes waits for the reply, which this client does not send."""

    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        async for message in websocket:
            it.told.append(message.data)
        it.told.append("over")
        it.told.append((await websocket.receive()).type)

    async with service(tmp_path, handler) as it, handshake(it.url, "/"):
        await until(lambda: it.websockets)
        (websocket,) = it.websockets
        closing = asyncio.create_task(websocket.close())
        await until(lambda: it.told)
        assert not closing.done()
        assert it.told == ["over", WSMsgType.CLOSING]
        websocket.abort()
        assert await closing


async def test_what_came_before_the_end_is_received_after_it(tmp_path: Path) -> None:
    """Also what had not been parsed yet, because the handler was busy."""
    messages = 8000
    busy = asyncio.Event()

    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        await busy.wait()
        async for _ in websocket:
            it.told.append(None)

    async with service(tmp_path, handler) as it:
        async with handshake(it.url, "/") as sock:
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(sock, b"\x81\x80\x00\x00\x00\x00" * messages)
            await until(lambda: it.websockets)
            reader, transport = it.websockets[0]._reader, it.websockets[0].transport
            assert reader is not None
            assert transport is not None
            if not hasattr(reader, "_stalled_reader"):
                pytest.skip("this version of aiohttp keeps nothing of what came before the end")
            await until(lambda: reader._stalled_reader is not None)
            transport.close()
            await until(lambda: it.websockets[0].transport is None)
        busy.set()
        await until(lambda: not it.shim.sessions)
        await until(lambda: len(it.told) == messages)


async def test_after_a_close_frame_of_the_client_its_pings_are_not_answered(tmp_path: Path) -> None:
    """RFC 6455 section 5.5.2."""
    loop = asyncio.get_running_loop()
    async with service(tmp_path, by_the_websocket) as it, handshake(it.url, "/") as sock:
        close, ping = b"\x88\x82\x00\x00\x00\x00\x03\xe8", b"\x89\x80\x00\x00\x00\x00"
        await loop.sock_sendall(sock, close + ping)
        received = b""
        while chunk := await loop.sock_recv(sock, 4096):
            received += chunk
        assert received == b"\x88\x02\x03\xe8"


async def test_another_task_may_close_while_the_handler_ends(tmp_path: Path) -> None:
    """The handler that received is cancelled: whoever closes still learns of the end."""
    tasks: list[asyncio.Task[None]] = []

    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await by_the_websocket(it, websocket, live)

    async with (
        service(tmp_path, handler, registered=False, timeout=0.5) as it,
        handshake(it.url, "/"),
    ):
        await until(lambda: tasks)
        closing = asyncio.create_task(it.websockets[0].close())
        await asyncio.sleep(0)
        tasks[0].cancel()
        async with asyncio.timeout(5):
            assert await closing
        assert it.websockets[0].close_code == 1006


@pytest.mark.parametrize("ends", ["no reply", "abort", "hangs up"])
async def test_an_end_without_a_close_frame_is_1006(tmp_path: Path, ends: str) -> None:
    async with (
        service(tmp_path, by_the_websocket, timeout=0.3) as it,
        handshake(it.url, "/") as sock,
    ):
        await until(lambda: it.websockets)
        (websocket,) = it.websockets
        if ends == "no reply":
            await websocket.close()
        elif ends == "abort":
            websocket.abort()
        else:
            sock.shutdown(socket.SHUT_RDWR)
        await until(lambda: websocket.closed)
        assert websocket.close_code == 1006
        await until(lambda: it.closings.all)
        cause = Cause.APPLICATION if ends == "no reply" else Cause.PEER
        assert [(closing[0], closing[2]) for closing in it.closings.all] == [(cause, 1006)]


async def test_after_an_abort_the_kernel_keeps_nothing(tmp_path: Path) -> None:
    """The connection is reset: a frozen peer would never fetch what waits to be sent."""
    loop = asyncio.get_running_loop()
    async with (
        service(tmp_path, by_the_websocket) as it,
        handshake(it.url, "/", receive_buffer=4096) as sock,
    ):
        await until(lambda: it.websockets)
        transport = it.websockets[0].transport
        assert transport is not None
        transport.write(bytes(4_000_000))
        it.websockets[0].abort()

        async def read_on() -> None:
            while await loop.sock_recv(sock, 1 << 20):
                pass

        with pytest.raises(ConnectionResetError):
            await read_on()


@pytest.mark.parametrize(
    ("reason", "sent"),
    [("x" * 200, "x" * 123), (b"bytes", "bytes"), ("é" * 100, "é" * 61), (b"\xff", "\ufffd")],
)
async def test_a_reason_is_cut_to_what_a_close_frame_carries(
    tmp_path: Path, reason: str | bytes, sent: str
) -> None:
    async with service(tmp_path, by_the_websocket) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(it.url)
        await until(lambda: it.websockets)
        reading = asyncio.create_task(client.receive())
        await it.websockets[0].close(message=reason)
        assert (await reading).extra == sent


async def test_r2_a_message_in_compression_does_not_follow_the_close_frame(tmp_path: Path) -> None:
    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        sending = asyncio.create_task(websocket.send_bytes(os.urandom(1_000_000)))
        await asyncio.sleep(0)  # a thread compresses the message
        websocket.begin_close(4000, "")
        with pytest.raises(aiohttp.ClientConnectionResetError):
            await sending
        websocket.abort()

    deflate = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    async with (
        service(tmp_path, handler, compress=True) as it,
        handshake(it.url, "/", 0, **deflate) as sock,
    ):
        arrived = b""
        with suppress(ConnectionResetError):
            while chunk := await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
                arrived += chunk
        assert arrived == b"\x88\x02" + (4000).to_bytes(2)


@pytest.mark.parametrize("answers", [False, True])
async def test_a_handler_that_aiohttp_cancels_may_close(tmp_path: Path, answers: bool) -> None:
    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        it.told.append(await websocket.close())
        it.told.append((websocket.close_code, type(websocket.exception())))

    async with (
        service(tmp_path, handler, registered=False, cancels=True, timeout=0.2) as it,
        handshake(it.url, "/") as sock,
    ):
        if answers:
            await asyncio.get_running_loop().sock_sendall(sock, b"\x88\x82\0\0\0\0\x03\xe8")
        await until(lambda: it.told or it.errors)
        told = (1000, type(None)) if answers else (1006, TimeoutError)
        assert (it.told, it.errors) == ([True, told], [])


async def test_a_close_that_can_have_no_reply_waits_for_none(tmp_path: Path) -> None:
    async with service(tmp_path, by_the_websocket, registered=False) as it, handshake(it.url, "/"):
        await until(lambda: it.websockets)
        (websocket,) = it.websockets
        assert websocket.transport is not None
        websocket.transport.close()
        async with asyncio.timeout(2):
            await websocket.close()
        assert websocket.close_code == 1006


async def returns(it: Service, websocket: WebSocket, live: Any) -> None:
    await websocket.receive()


async def raises(it: Service, websocket: WebSocket, live: Any) -> None:
    await websocket.receive()
    raise ValueError("a fault of the handler")


@pytest.mark.parametrize(("handler", "code"), [(returns, 1000), (raises, 1011)])
async def test_what_a_handler_leaves_open_is_closed(
    tmp_path: Path, handler: Handler, code: int
) -> None:
    async with service(tmp_path, handler) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(it.url)
        await client.send_str("hello")
        assert (await client.receive(timeout=5)).data == code
        await until(lambda: it.closings.all)
        # After an error aiohttp does not wait for the reply.
        assert [closing[:2] for closing in it.closings.all] == [(Cause.APPLICATION, code)]


async def test_a_handler_that_returns_without_the_context_is_the_application(
    tmp_path: Path,
) -> None:
    """aiohttp closes what the handler returned from; nobody but the application is the cause."""

    async def handler(it: Service, websocket: WebSocket, live: Any) -> None:
        it.shim.register_app_connection(websocket, "u", "s", "p")
        await websocket.receive()

    async with (
        service(tmp_path, handler, registered=False) as it,
        aiohttp.ClientSession() as http,
    ):
        client = await http.ws_connect(it.url)
        await client.send_str("hello")
        assert (await client.receive(timeout=5)).data == 1000
        await until(lambda: it.closings.all)
        assert it.closings.all == [(Cause.APPLICATION, 1000, 1000)]
