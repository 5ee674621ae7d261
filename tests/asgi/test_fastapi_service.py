"""The service on FastAPI: stopped, cut off from its clients, and used from a real browser."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket

from shim.model import Role, Stage
from tests.asgi.test_asgi import service
from tests.live.servers import QUICK
from tests.live.test_embedding import FASTAPI, SECRETS, configure, connect, running
from tests.waiting import until
from tests.web.browser import browser

pytestmark = pytest.mark.real


@pytest.mark.parametrize("stage", ["live", "complete"])
async def test_r3_a_stopped_server_closes_no_healthy_client(tmp_path: Path, stage: str) -> None:
    clients = 50
    configure(tmp_path, FASTAPI, stage=stage)
    async with running(tmp_path, FASTAPI) as it, aiohttp.ClientSession() as http:
        sockets = [await connect(it, http, f"u{n}") for n in range(clients)]
        reading = [asyncio.create_task(websocket.receive()) for websocket in sockets]
        await asyncio.sleep(1)
        it.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(3)  # twice the timeout
        it.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(2.5)
        assert not any(client.done() for client in reading)
        report = await it.get(http, "/api/report")
        assert report["decisions"]["candidate"] == {"acted": 0, "recorded": 0}
        assert report["pauses"]["seconds"] > 2.5
        assert (report["decisions"]["control"]["recorded"] > 0) == (stage == "live")
        assert await it.stop()
        assert {(await client).data for client in reading} == {1012}


@asynccontextmanager
async def line_to(port: int, flows: asyncio.Event) -> AsyncIterator[int]:
    """The port of a line to the server that carries nothing while `flows` is clear, as a cut network."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back), carry(there, writer))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as line:
        yield line.sockets[0].getsockname()[1]


GUARD = "guard: {window: HOLD, share: 0.1, count: 5, hold: HOLD}\n"


@pytest.mark.parametrize(("returns", "hold"), [(True, "2s"), (False, "500ms")])
async def test_r6b_a_cut_of_the_network(tmp_path: Path, returns: bool, hold: str) -> None:
    """Held connections are saved when the network returns in time; else all end, in bounded time."""
    clients, closed_at_most = 40, 10
    flows = asyncio.Event()
    flows.set()
    async with service(tmp_path, Stage.COMPLETE, QUICK + GUARD.replace("HOLD", hold)) as it:
        port = it.server.port
        async with line_to(port, flows) as line:
            sockets: list[ClientConnection] = [
                await connect_websocket(f"ws://127.0.0.1:{line}/u{n}", ping_interval=None)
                for n in range(clients)
            ]
            await until(lambda: len(it.shim.sessions) == clients)
            guard = it.shim.router.guard
            assert guard is not None
            flows.clear()
            await until(lambda: len(guard) > clients // 2)
            if returns:
                flows.set()
                await until(lambda: not guard.holding)
                assert it.tally.decisions[Role.CANDIDATE, True] <= closed_at_most
                assert len(it.shim.sessions) >= clients - closed_at_most
            else:
                # Nobody shows life: the hold lasts ten times as long.
                await until(lambda: not it.shim.sessions, timeout=40)
                flows.set()
            for socket in sockets:
                await socket.close()


async def test_a_real_browser_as_client_and_at_the_console(tmp_path: Path) -> None:
    """The browser answers pings, so its idle page stays; the dashboard shows it; the end is 1012."""
    configure(tmp_path, FASTAPI, stage="complete")
    settings = tmp_path / "config" / "shim.yaml"
    settings.write_text(settings.read_text().replace("1500ms", "5s").replace("500ms", "1s"))
    async with (
        running(tmp_path, FASTAPI) as it,
        browser(tmp_path / "app") as app,
        browser(tmp_path / "operator") as operator,
        aiohttp.ClientSession() as http,
    ):
        url = f"{it.url.replace('http', 'ws')}/app?user=alice&package=com.example.app"
        await app.run(
            f"socket = new WebSocket({json.dumps(url)}); said = []; ended = null;"
            "socket.onmessage = ({data}) => said.push(data);"
            "socket.onclose = ({code}) => ended = code; 0"
        )
        await app.until("socket.readyState === 1")
        silent = await connect(it, http, "bob", autoping=False)
        while (await silent.receive(timeout=60)).type is aiohttp.WSMsgType.PING:
            pass
        assert silent.close_code == 1001
        assert await app.run("ended") is None  # as silent as bob, but it answers pings
        await app.run("socket.send('hello')")
        await app.until("said.length")
        assert await app.run("said") == ["you said hello"]

        await operator.open(f"{it.console}/login?next=/connections")
        await operator.run("document.querySelector('#token').focus()")
        await operator.type(SECRETS["SHIM_OPERATOR_TOKEN"])
        operator.begin()
        await operator.press("Enter")
        await operator.loaded()
        await operator.until("document.querySelector('main').innerText.includes('alice')")
        text = await operator.text()
        assert "com.example.app" in text
        assert "bob" not in text
        await silent.close()

        assert await it.stop()
        await app.until("ended !== null")
        assert await app.run("ended") == 1012
