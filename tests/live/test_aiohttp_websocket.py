"""The aiohttp WebSocket of the shim in the place of aiohttp's own: every way to read, to close and to end."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from shim.aio import Shim, WebSocket
from shim.aio.aiohttp_connection import AiohttpConnection
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import SECOND, Cause, Closing, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer, handles
from shim.settings.settings import load_settings
from tests.live.servers import QUICK
from tests.live.test_peers import handshake
from tests.waiting import until

pytestmark = pytest.mark.real

Handler = Callable[["Service", WebSocket, AiohttpConnection | None], Awaitable[None]]


class Closings(Observer):
    def __init__(self) -> None:
        self.all: list[tuple[Cause, int | None, int]] = []

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self.all.append((closing.cause, closing.intended, closing.observed))


@dataclass
class Service:
    """A service with one handler; what the handlers find out is `told`, `websockets` are in their order."""

    shim: Shim
    closings: Closings
    url: str = ""
    told: list[Any] = field(default_factory=list)
    websockets: list[WebSocket] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def service(
    folder: Path,
    handler: Handler,
    *,
    registered: bool = True,
    cancels: bool = False,
    stage: Stage = Stage.LIVE,
    **options: Any,
) -> AsyncIterator[Service]:
    (folder / "shim.yaml").write_text(QUICK)
    closings = Closings()
    settings = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    it = Service(Shim(settings, everyone_at(stage).evaluate, [closings]), closings)

    async def handle(request: web.Request) -> web.StreamResponse:
        websocket = it.shim.websocket(**options)
        await websocket.prepare(request)
        it.websockets.append(websocket)
        try:
            if registered:
                async with it.shim.register_app_connection(websocket, "u", "s", "p") as live:
                    await handler(it, websocket, live)
            else:
                await handler(it, websocket, None)
        except BaseException as error:
            it.errors.append(error)
            raise
        return websocket

    app = web.Application()
    app.cleanup_ctx.append(it.shim.lifespan)
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, shutdown_timeout=2, handler_cancellation=cancels)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    it.url = url_of(listener)
    try:
        yield it
    finally:
        await runner.cleanup()


# -- Reading ------------------------------------------------------------------------------------------


async def by_the_connection(it: Service, websocket: WebSocket, live: Any) -> None:
    async for message in live:
        it.told.append(message.data)


async def by_the_websocket(it: Service, websocket: WebSocket, live: Any) -> None:
    async for message in websocket:
        it.told.append(message.data)


async def by_receive(it: Service, websocket: WebSocket, live: Any) -> None:
    while (message := await websocket.receive()).type is WSMsgType.TEXT:
        it.told.append(message.data)


async def by_receive_with_a_timeout(it: Service, websocket: WebSocket, live: Any) -> None:
    while (message := await websocket.receive(timeout=20)).type is WSMsgType.TEXT:
        it.told.append(message.data)


async def by_receive_str(it: Service, websocket: WebSocket, live: Any) -> None:
    for _ in range(2):
        it.told.append(await websocket.receive_str())


async def by_receive_json(it: Service, websocket: WebSocket, live: Any) -> None:
    for _ in range(2):
        it.told.append(json.dumps(await websocket.receive_json()))


async def not_at_all(it: Service, websocket: WebSocket, live: Any) -> None:
    while websocket.transport is not None:  # noqa: ASYNC110 - a handler that is busy elsewhere
        await asyncio.sleep(0.05)


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


# -- Closing ------------------------------------------------------------------------------------------


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


# -- Options ------------------------------------------------------------------------------------------


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
