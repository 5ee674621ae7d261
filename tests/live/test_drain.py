"""The end of a service: everyone is sent away with 1012 while they can still be heard."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect

from shim.aio import Shim
from shim.aio.aiohttp_connection import AiohttpConnection
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Cause, Closing, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer, handles
from shim.runtime.tally import Tally
from shim.settings.settings import load_settings
from tests.live.servers import QUICK, app_client, server, server_process
from tests.waiting import until

pytestmark = pytest.mark.real

SLOW = QUICK.replace("drain: 200ms", "drain: 3s")
"""Longer than the timeout of 1.5 s."""
ENDLESS = QUICK.replace("drain: 200ms", "drain: 60s")


@dataclass
class Closings(Observer):
    all: list[Closing] = field(default_factory=list)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self.all.append(closing)

    @property
    def codes(self) -> list[tuple[Cause, int | None, int]]:
        return [(closing.cause, closing.intended, closing.observed) for closing in self.all]


def reading(websocket: aiohttp.ClientWebSocketResponse) -> "asyncio.Task[int | None]":
    """A healthy client: it answers pings and closes; the result is the close code."""

    async def read() -> int | None:
        async for _ in websocket:
            pass
        return websocket.close_code

    return asyncio.create_task(read())


async def test_shutdown_closes_with_1012_and_sees_the_replies(tmp_path: Path) -> None:
    closings = Closings()
    async with aiohttp.ClientSession() as http:
        async with server(tmp_path) as it:
            it.shim.observer.add(closings)
            clients = [reading(await app_client(http, it.url, f"u{n}")) for n in range(5)]
        assert await asyncio.gather(*clients) == [1012] * 5
    # aiohttp's client answers every close with 1000.
    assert closings.codes == [(Cause.APPLICATION, 1012, 1000)] * 5


async def test_it_is_not_ready_and_refuses_newcomers_while_it_still_answers(tmp_path: Path) -> None:
    async with (
        aiohttp.ClientSession() as http,
        server(tmp_path, settings=ENDLESS) as it,
    ):
        first = await app_client(http, it.url, "first")
        waits = reading(await app_client(http, it.url, "u"))
        ending = asyncio.create_task(it.shim.drain())
        await until(lambda: it.shim.draining)
        async with http.get(f"{it.url}/readyz") as answer:
            assert (answer.status, (await answer.json())["status"]) == (503, "draining")
        async with http.get(f"{it.url}/healthz") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{it.url}/app-ws")
        assert refused.value.status == 503
        assert not waits.done()
        ending.cancel()
        assert await waits == 1012
        await first.close()


@pytest.mark.parametrize("init", [False, True])
async def test_who_waits_for_its_init_is_sent_away_at_once(tmp_path: Path, init: bool) -> None:
    """As is one whose init comes just then; and the reply is read, for which the exit would wait."""
    settings = ENDLESS.replace("init_timeout: 1s", "init_timeout: 30s")
    started = monotonic()
    async with server(
        tmp_path, settings=settings.replace("close_timeout: 500ms", "close_timeout: 30s")
    ) as it:
        app = await connect(it.url.replace("http", "ws") + "/app-ws")
        ending = asyncio.create_task(it.shim.drain())
        await asyncio.sleep(0)
        if init:
            who = {"sessionId": "u-com.example.app1", "packageName": "com.example.app1"}
            await app.send(json.dumps({"type": "tpa_connection_init", **who, "apiKey": "dev"}))
        await ending
    assert monotonic() - started < 20
    await app.wait_closed()
    assert app.close_code == 1012


async def test_r4_who_waits_for_the_turn_is_heard_and_judged_as_ever(tmp_path: Path) -> None:
    """The drain takes twice the timeout: healthy clients are not taken for dead, a silent one is."""
    closings = Closings()
    async with aiohttp.ClientSession() as http:
        async with server(tmp_path, Stage.LIVE, SLOW) as it:
            it.shim.observer.add(closings)
            clients = [reading(await app_client(http, it.url, f"u{n}")) for n in range(10)]
            dead = await app_client(http, it.url, "dead", autoping=False)
        assert await asyncio.gather(*clients) == [1012] * 10
        assert (await dead.receive()).type is aiohttp.WSMsgType.PING
    ended = {c.connection.user: (c.cause, c.intended, c.observed) for c in closings.all}
    assert ended.pop("dead") == (Cause.CANDIDATE, 1001, 1006)
    assert set(ended.values()) == {(Cause.APPLICATION, 1012, 1000)}
    assert sum(it.tally.decisions.values()) == 2  # both monitors, on the dead one


async def test_it_is_over_when_everyone_has_gone(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http, server(tmp_path, settings=ENDLESS) as it:
        clients = [await app_client(http, it.url, f"u{n}") for n in range(5)]
        ending = asyncio.create_task(it.shim.drain())
        await until(lambda: it.shim.draining)
        assert not ending.done()
        for client in clients:
            await client.close()
        async with asyncio.timeout(30):
            await ending


async def test_who_never_answers_is_gone_within_drain_and_close_timeout(tmp_path: Path) -> None:
    closings = Closings()
    async with aiohttp.ClientSession() as http:
        async with server(tmp_path) as it:
            it.shim.observer.add(closings)
            deaf = await app_client(http, it.url, "u")
            started = monotonic()
        assert monotonic() - started < 8  # aiohttp itself waits 10 s for a reply
        await deaf.close()
    assert closings.codes == [(Cause.APPLICATION, 1012, 1006)]


async def test_a_drain_that_is_cut_short_aborts_who_is_left(tmp_path: Path) -> None:
    settings = ENDLESS.replace("close_timeout: 500ms", "close_timeout: 60s")
    async with aiohttp.ClientSession() as http, server(tmp_path, settings=settings) as it:
        clients = [await app_client(http, it.url, f"u{n}") for n in range(3)]
        ending = asyncio.create_task(it.shim.drain())
        await until(lambda: it.shim.draining)
        ending.cancel()
        await until(lambda: not it.shim.sessions, timeout=30)
        for client in clients:
            await client.close()


@pytest.mark.parametrize("again", [False, True])
async def test_serve_stops_at_a_signal_and_at_once_at_the_second(
    tmp_path: Path, again: bool
) -> None:
    settings = ENDLESS if again else QUICK
    async with (
        aiohttp.ClientSession() as http,
        server_process(tmp_path, settings=settings) as it,
    ):
        clients = [reading(await app_client(http, it.url, f"u{n}")) for n in range(3)]
        it.process.terminate()
        if again:
            await asyncio.wait(clients, return_when=asyncio.FIRST_COMPLETED)
            it.process.terminate()
        async with asyncio.timeout(40):
            assert await it.process.wait() == 0
        assert await asyncio.gather(*clients) == [1012] * 3
    log = (tmp_path / "serve.log").read_text()
    assert log.count("close code intended 1012, observed 1000") == (1 if again else 3)
    assert "Traceback" not in log


# -- Services of one's own ------------------------------------------------------------------------


@dataclass
class Service:
    shim: Shim
    tally: Tally
    closings: Closings
    url: str
    runner: web.AppRunner


@asynccontextmanager
async def service(
    folder: Path, settings: str, shutdown_timeout: float = 60
) -> AsyncIterator[Service]:
    """An aiohttp service that does no more than the README says; aiohttp waits so long for its handlers."""
    (folder / "shim.yaml").write_text(settings)
    tally, closings = Tally(), Closings()
    loaded = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    shim = Shim(loaded, everyone_at(Stage.LIVE).evaluate, [tally, closings])

    async def handler(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        if request.query_string == "first":
            await websocket.receive()
        async with shim.register_app_connection(websocket, request.path, "s", request.path) as live:
            async for _ in live:
                pass
        return websocket

    app = web.Application()
    app.cleanup_ctx.append(shim.lifespan)
    app.router.add_get("/{user}", handler)
    runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    try:
        yield Service(shim, tally, closings, url_of(listener), runner)
    finally:
        await runner.cleanup()


async def test_a_service_may_drain_before_it_cleans_up(tmp_path: Path) -> None:
    async with service(tmp_path, QUICK) as it, aiohttp.ClientSession() as http:
        clients = [reading(await http.ws_connect(f"{it.url}/u{n}")) for n in range(3)]
        await until(lambda: it.shim.sessions)
        await it.shim.drain()
        assert await asyncio.gather(*clients) == [1012] * 3
        assert it.closings.codes == [(Cause.APPLICATION, 1012, 1000)] * 3
        started = monotonic()
        await it.runner.cleanup()
        assert monotonic() - started < 30


async def test_who_registers_during_the_drain_is_sent_away_too(tmp_path: Path) -> None:
    async with service(tmp_path, ENDLESS) as it, aiohttp.ClientSession() as http:
        first = reading(await http.ws_connect(f"{it.url}/first"))
        waits = reading(await http.ws_connect(f"{it.url}/waits"))
        await until(lambda: it.shim.sessions and it.shim.sessions["s"].open == 2)
        ending = asyncio.create_task(it.shim.drain())
        assert await first == 1012
        again = reading(await http.ws_connect(f"{it.url}/waits"))
        assert await again == 1012
        # The older connection of that client does not hear of a replacement, which it would obey.
        assert await waits == 1012
        await ending


async def test_who_has_not_registered_yet_is_sent_away_too(tmp_path: Path) -> None:
    async with service(tmp_path, ENDLESS) as it, aiohttp.ClientSession() as http:
        early = reading(await http.ws_connect(f"{it.url}/u?first"))
        async with asyncio.timeout(30):
            await it.shim.drain()
            assert await early == 1012


async def test_without_hearing_nobody_is_judged(tmp_path: Path) -> None:
    """aiohttp stops reading before it says that it shuts down; the drain takes twice the timeout."""
    async with aiohttp.ClientSession() as http:
        async with service(tmp_path, SLOW) as it:
            clients = [reading(await http.ws_connect(f"{it.url}/u{n}")) for n in range(5)]
            silent = await http.ws_connect(f"{it.url}/silent")
            await until(lambda: it.shim.sessions)
            started = monotonic()
            await it.runner.cleanup()
            assert monotonic() - started < 30
        assert await asyncio.gather(*clients) == [1012] * 5
        assert not it.tally.decisions
        assert {closing.cause for closing in it.closings.all} == {Cause.APPLICATION}
        assert len(it.closings.all) == 6
        assert not silent.closed


async def test_a_handler_that_does_not_return_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(live: AiohttpConnection) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(AiohttpConnection, "__anext__", busy)
    async with (
        aiohttp.ClientSession() as http,
        service(tmp_path, QUICK, shutdown_timeout=2) as it,
    ):
        client = await http.ws_connect(f"{it.url}/u")
        await until(lambda: it.shim.sessions)
        started = monotonic()
        await it.shim.drain()
        assert monotonic() - started < 30
        await client.close()
