"""Two connections of one user and package side by side: two tabs, two devices (R15)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.ledger.rows import ActionRow
from shim.model import Return, Stage
from tests.live.servers import QUICK, SECRETS
from tests.waiting import until

pytestmark = pytest.mark.real
OPERATOR = {"Authorization": f"Bearer {SECRETS.operator_token}"}


@dataclass
class Service:
    shim: Shim
    url: str
    http: aiohttp.ClientSession

    async def connect(
        self, kind: str, instance: str | None, **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        query = {} if instance is None else {"instance": instance}
        websocket: aiohttp.ClientWebSocketResponse = await self.http.ws_connect(
            f"{self.url}/{kind}", params=query, **options
        )
        return websocket

    async def ask(self, path: str) -> Any:
        async with self.http.get(f"{self.url}{path}", headers=OPERATOR) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json() if path.startswith("/api") else await answer.text()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(tmp_path) as it:
        yield it


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Service]:
    path = folder / "shim.yaml"
    path.write_text(f"{QUICK}\nledger: sqlite:///{folder}/shim.db\n")
    shim = Shim.open(path, secrets=SECRETS, targeting=everyone_at(Stage.COMPLETE))

    async def app_handler(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        instance = request.query.get("instance")
        if request.path == "/app":
            live = shim.register_app_connection(websocket, "u", "s", "p", instance=instance)
        else:
            live = shim.register_glasses_connection(websocket, "u", "s", instance=instance)
        async with live:
            async for _ in live:
                pass
        return websocket

    app = shim.console()
    app.cleanup_ctx.append(shim.lifespan)
    app.router.add_get("/app", app_handler)
    app.router.add_get("/glasses", app_handler)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    listener = listen("127.0.0.1", 0)
    await web.SockSite(runner, listener).start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Service(shim, url_of(listener), http)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("kind", ["app", "glasses"])
async def test_without_an_instance_the_newer_connection_wins(service: Service, kind: str) -> None:
    older = await service.connect(kind, None)
    newer = await service.connect(kind, None)
    message = await older.receive(timeout=60)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1000)
    assert not newer.closed
    await newer.close()


@pytest.mark.parametrize("kind", ["app", "glasses"])
async def test_r15_instances_are_open_side_by_side(service: Service, kind: str) -> None:
    """The newer connection of one instance replaces the older one of this instance alone."""
    first = await service.connect(kind, "tab 1", autoping=False)
    others = [await service.connect(kind, instance) for instance in ("tab 2", None, "tab 1")]
    # They answer pings only while somebody receives.
    receiving = [asyncio.create_task(client.receive()) for client in others]
    while (message := await first.receive(timeout=60)).type is WSMsgType.PING:
        await first.pong(message.data)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1000)
    (session,) = service.shim.sessions.values()
    instances = [live.connection.instance for live in session.members()]
    assert sorted(map(str, instances)) == ["None", "tab 1", "tab 2"]
    answer = await service.ask("/api/connections")
    assert sorted(str(row["instance"]) for row in answer["connections"]) == [
        *("None", "tab 1", "tab 2")
    ]
    (about,) = (await service.ask("/api/sessions"))["sessions"]
    if kind == "app":
        assert about["apps"].keys() == {"p", "p/tab 1", "p/tab 2"}
    else:
        assert about["glasses"] == next(session.members()).connection.id
    assert "tab 2" in await service.ask("/connections")
    assert "tab 2" in await service.ask("/sessions/s")
    assert not any(task.done() for task in receiving)
    for client in others:
        await client.close()
    await asyncio.gather(*receiving)


async def test_r15_only_the_same_instance_is_a_return(service: Service) -> None:
    """A tab that is open meanwhile replaces nothing, and another tab that opens is no return."""
    tabs = [await service.connect("app", "silent tab", autoping=False)]
    open_tab = await service.connect("app", "open tab")
    reading = asyncio.create_task(open_tab.receive())
    await until(lambda: len(list(service.shim.router.connections())) == 2)
    (session,) = service.shim.sessions.values()
    silent = session.app_connections["p/silent tab"]
    await until(lambda: silent.tracked.closed_by is not None)
    tabs += [await service.connect("app", instance) for instance in ("new tab", "silent tab")]
    reader = service.shim.assembly.reader

    def results() -> list[tuple[Return | None, str | None]]:
        return [(row.result, row.instance) for row in reader.rows(ActionRow, limit=10)]

    await until(lambda: any(result is not None for result, _ in results()))
    assert results() == [(Return.RETURNED, "silent tab")]
    assert "silent tab" in await service.ask("/outcomes")
    for tab in tabs:
        await tab.close()
    await open_tab.close()
    await reading
