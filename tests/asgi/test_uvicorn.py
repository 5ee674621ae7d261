"""What the shim needs of uvicorn, and what it leaves to uvicorn."""

import asyncio
import inspect
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import version as websockets_version
from websockets.asyncio.client import connect
from websockets.server import ServerProtocol

from shim.asgi import Shim, WebSocketProtocol
from shim.flags.targeting import everyone_at
from shim.model import Cause, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from tests.asgi.test_asgi import service
from tests.asgi.uvicorn_servers import uvicorn_server
from tests.live.servers import PATIENT, QUICK
from tests.live.test_embedding import FASTAPI, configure, running
from tests.live.test_embedding import connect as connect_to
from tests.live.test_peers import handshake
from tests.waiting import until

pytestmark = pytest.mark.real

# -- The members of uvicorn's class that are used ---------------------------------------------------

METHODS = {
    "run_asgi": "(self) -> 'None'",
    "send": "(self, message: 'ASGISendEvent') -> 'None'",
    "send_receive_event_to_app": "(self) -> 'None'",
    "handle_ping": "(self) -> 'None'",
    "handle_close": "(self, event: 'Frame') -> 'None'",
    "resume_writing": "(self) -> 'None'",
    "shutdown": "(self) -> 'None'",
    "connection_lost": "(self, exc: 'Exception | None') -> 'None'",
    "stop_keepalive": "(self) -> 'None'",
}
ATTRIBUTES = {
    "scope": dict,
    "transport": asyncio.Transport,
    "loop": asyncio.AbstractEventLoop,
    "conn": ServerProtocol,
    "queue": asyncio.Queue,
    "writable": asyncio.Event,
    "frames": list,
    "handshake_complete": bool,
    "close_sent": bool,
    "disconnected": bool,
    "read_paused": bool,
    "close_timer": type(None),
}
VERSIONS = f"uvicorn {uvicorn.__version__} with websockets {websockets_version.version}"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_uvicorn_that_the_shim_calls_or_replaces_is_as_it_was(name: str) -> None:
    method = getattr(WebSocketsSansIOProtocol, name, None)
    assert method is not None, f"{VERSIONS}: WebSocketsSansIOProtocol has no method {name} any more"
    found = str(inspect.signature(method))
    assert found == METHODS[name], (
        f"{VERSIONS}: WebSocketsSansIOProtocol.{name} is {found} now, and was {METHODS[name]}"
    )


async def test_an_attribute_of_uvicorn_that_the_shim_uses_is_as_it_was() -> None:
    found: list[WebSocketProtocol] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        found.append(scope["extensions"]["shim"]["protocol"]())
        await receive()

    async with uvicorn_server(app, lifespan="auto") as it, connect(it.url):
        await until(lambda: found)
        (protocol,) = found
        for name, kind in ATTRIBUTES.items():
            assert hasattr(protocol, name), (
                f"{VERSIONS}: WebSocketsSansIOProtocol has no attribute {name} any more"
            )
            value = getattr(protocol, name)
            assert isinstance(value, kind), (
                f"{VERSIONS}: {name} is {value!r} now, and was of the type {kind.__name__}"
            )
        assert protocol.ping_timer is not None, (
            f"{VERSIONS}: no ping is planned after the handshake"
        )
        protocol.stop_keepalive()
        assert protocol.ping_timer is None, f"{VERSIONS}: stop_keepalive does not stop the pings"


def test_a_version_without_one_of_the_methods_is_refused_at_the_import() -> None:
    code = """
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
del WebSocketsSansIOProtocol.handle_ping
import shim.asgi
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    words = f"shim.asgi does not know uvicorn {uvicorn.__version__}, which has no handle_ping"
    assert done.stderr.splitlines()[-1] == f"ImportError: {words}"


# -- What is refused --------------------------------------------------------------------------------


def plain_shim() -> Shim:
    settings = load_settings(None, monitor_types(plugin_manager()))
    return Shim(settings, everyone_at(Stage.LIVE).evaluate)


def application(shim: Shim, endpoint: Callable[[WebSocket], Any], starts: bool = True) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if starts:
            async with shim:
                yield
        else:
            yield

    return Starlette(routes=[WebSocketRoute("/", endpoint)], lifespan=lifespan)


async def nothing(websocket: WebSocket) -> None:
    raise AssertionError


@pytest.mark.filterwarnings("ignore:The `websockets` implementation is deprecated")
@pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated")
@pytest.mark.parametrize("ws", ["auto", "websockets", "websockets-sansio", "none"])
async def test_uvicorn_with_another_class_does_not_start(
    ws: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = uvicorn.Config(
        application(plain_shim(), nothing), ws=ws, lifespan="on", log_config=None
    )
    lifespan = LifespanOn(config)
    await lifespan.startup()
    assert lifespan.should_exit
    assert f"RuntimeError: uvicorn with ws='{ws}': this server does not tell" in caplog.text
    assert "uvicorn --ws shim.asgi:WebSocketProtocol" in caplog.text


@pytest.mark.parametrize("server", ["daphne", "granian", "hypercorn"])
async def test_another_server_is_named(server: str) -> None:
    frame: dict[str, Any] = {"__name__": f"{server}.lifespan", "shim": plain_shim()}
    exec("async def run():\n    async with shim: pass", frame)
    with pytest.raises(RuntimeError, match=f"^{server.capitalize()}: this server does not tell"):
        await frame["run"]()


async def test_a_connection_of_another_server_is_not_registered() -> None:
    with pytest.raises(TypeError, match=r"uvicorn --ws shim\.asgi:WebSocketProtocol"):
        plain_shim().register_app_connection({"type": "websocket"}, "u", "s", "p")


@pytest.mark.parametrize(
    ("starts", "accepts", "words"),
    [(True, False, "await websocket.accept"), (False, True, "async with shim.*lifespan")],
)
async def test_a_registration_that_comes_too_early_is_refused(
    starts: bool, accepts: bool, words: str
) -> None:
    shim = plain_shim()
    answers: list[str] = []

    async def endpoint(websocket: WebSocket) -> None:
        if accepts:
            await websocket.accept()
        with pytest.raises(RuntimeError, match=words):
            shim.register_glasses_connection(websocket, "u", "s")
        answers.append("refused")
        if not accepts:
            await websocket.accept()

    async with (
        uvicorn_server(application(shim, endpoint, starts)) as it,
        connect(it.url) as client,
    ):
        await client.wait_closed()
    assert answers == ["refused"]


async def test_the_scope_of_a_connection_is_enough() -> None:
    """For frameworks whose WebSocket is none of Starlette's."""
    shim = plain_shim()
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        async with shim.register_app_connection(scope, "u", "s", "p"):
            messages.append(await receive())

    async with shim, uvicorn_server(app, lifespan="off") as it, connect(it.url) as client:
        await client.send("hello")
        await client.wait_closed()
        assert client.close_code == 1000
    assert messages == [{"type": "websocket.receive", "text": "hello"}]


# -- What is left to uvicorn ------------------------------------------------------------------------


@pytest.mark.parametrize("ws", ["shim.asgi:WebSocketProtocol", "auto"])
async def test_an_unregistered_connection_is_pinged_and_closed_by_uvicorn(ws: str) -> None:
    ended: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        message: dict[str, Any] = {}
        while message.get("type") != "websocket.disconnect":
            message = await receive()
        ended.append(message["code"])

    options = {"lifespan": "off", "ws_ping_interval": 0.05, "ws_ping_timeout": 0.1}
    async with (
        uvicorn_server(app, ws=ws, ws_max_size=1000, **options) as it,
        aiohttp.ClientSession() as http,
    ):
        silent = await http.ws_connect(it.url, autoping=False)
        kinds = [message.type async for message in silent]
        assert kinds == [aiohttp.WSMsgType.PING]
        assert silent.close_code == 1011
        async with connect(it.url) as healthy:
            await healthy.ping()
            await healthy.send("x" * 2000)
            await healthy.wait_closed()
            assert healthy.close_code == 1009
        async with connect(it.url) as last:
            await it.stop()
            await last.wait_closed()
            assert last.close_code == 1012
    assert ended == [1005, 1009, 1012]


# -- The end ----------------------------------------------------------------------------------------

SLOW = QUICK.replace("drain: 200ms", "drain: 1s")


async def test_the_end_of_the_server_is_1012_and_spread(tmp_path: Path) -> None:
    """uvicorn itself closes everyone at one moment."""
    async with service(tmp_path, Stage.SHADOW, SLOW) as it:
        clients = [await connect(f"{it.url}u{n}") for n in range(20)]
        await until(lambda: len(it.shim.sessions) == 20)
        stopping = asyncio.create_task(it.server.stop())
        moments = []
        for client in clients:
            await client.wait_closed()
            moments.append(monotonic())
        await stopping
    assert {client.close_code for client in clients} == {1012}
    assert moments[-1] - moments[0] > 0.5
    assert {(c.cause, c.intended, c.observed) for c in it.told.closings} == {
        (Cause.APPLICATION, 1012, 1012)
    }


async def test_who_registers_during_the_drain_is_sent_away_too(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.SHADOW, SLOW) as it, connect(f"{it.url}u"):
        late = await connect(f"{it.url}late")
        await until(lambda: it.shim.sessions)
        it.shim.begin_drain()
        again = await connect(f"{it.url}again")
        await again.wait_closed()
        assert (again.close_code, again.close_reason) == (1012, "the service restarts")
        await late.wait_closed()
        assert late.close_code == 1012


async def test_a_silent_client_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.SHADOW, PATIENT) as it, handshake(it.http, "/u"):
        await until(lambda: it.shim.sessions)
        await it.server.stop()
        assert [c.intended for c in it.told.closings] == [1012]


async def test_the_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    configure(tmp_path, FASTAPI)
    settings = tmp_path / "config" / "shim.yaml"
    settings.write_text(settings.read_text().replace("drain: 200ms", "drain: 60s"))
    async with running(tmp_path, FASTAPI) as it, aiohttp.ClientSession() as http:
        clients = [await connect_to(it, http, f"u{n}") for n in range(3)]
        endings = [asyncio.create_task(client.receive()) for client in clients]
        it.process.send_signal(signal.SIGINT)
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        assert not all(ending.done() for ending in endings)
        it.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await it.process.wait()
        assert [(await ending).data for ending in endings] == [1012] * 3


async def test_endpoints_that_uvicorn_cancels_are_closed_with_1012(tmp_path: Path) -> None:
    """`timeout_graceful_shutdown` may be shorter than the drain."""
    options = {"timeout_graceful_shutdown": 0.2}
    settings = QUICK.replace("drain: 200ms", "drain: 60s")
    async with service(tmp_path, Stage.SHADOW, settings, **options) as it:
        clients = [await connect(f"{it.url}u{n}") for n in range(3)]
        await until(lambda: len(it.shim.sessions) == 3)
        await it.server.stop()
        for client in clients:
            await client.wait_closed()
    assert [client.close_code for client in clients] == [1012] * 3
