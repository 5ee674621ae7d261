"""The adapter for the `websockets` library, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from shim.flags import everyone_at
from shim.model import Cause, Closing, Outcome, Return, Role, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer, handles
from shim.runtime.tally import Tally
from shim.settings import load_settings
from shim.websockets import Shim
from tests.live.moved_clock import MovedClock
from tests.live.servers import QUICK, until

pytestmark = pytest.mark.real


@dataclass
class Told(Observer):
    closings: list[Closing] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self.closings.append(closing)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


@dataclass
class Service:
    shim: Shim
    tally: Tally
    told: Told
    url: str
    busy: asyncio.Event
    """While it is clear, handlers receive nothing."""


@asynccontextmanager
async def service(folder: Path, stage: Stage) -> AsyncIterator[Service]:
    config = folder / "shim.yaml"
    config.write_text(QUICK)
    tally, told, receives = Tally(), Told(), asyncio.Event()
    receives.set()
    settings = load_settings(config, monitor_types(plugin_manager()))
    shim = Shim(settings, everyone_at(stage).evaluate, [tally, told])

    async def handler(websocket: ServerConnection) -> None:
        assert websocket.request is not None
        user = websocket.request.path.removeprefix("/")
        async with shim.register_app_connection(websocket, user, user, "com.example.app1"):
            await receives.wait()
            async for message in websocket:
                if message == "bye":
                    return
                if message == "fail":
                    raise ValueError("a fault of the handler")
                await websocket.send(f"you said {message!r}")

    async with serve(handler, "127.0.0.1", 0, **shim.options) as it, shim:
        port = it.sockets[0].getsockname()[1]
        yield Service(shim, tally, told, f"ws://127.0.0.1:{port}/", receives)
        receives.set()


async def test_it_serves_and_watches_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = MovedClock(monkeypatch)
    async with service(tmp_path, Stage.LIVE) as it:
        async with connect(f"{it.url}u") as client:
            await client.send("hello")
            assert await client.recv() == "you said 'hello'"
            await time.move(it.shim, 2)  # longer than the timeout: it answers pings
            assert [t.acting for t in it.shim.router.connections()] == [Role.CANDIDATE]
            await client.send("bye")
            await client.wait_closed()
            assert client.close_code == 1000
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended, closing.observed) == (
            Cause.APPLICATION,
            1000,
            1000,
        )
        async with connect(f"{it.url}u"):
            pass
        await until(lambda: len(it.told.closings) == 2)
        assert (it.told.closings[1].cause, it.told.closings[1].intended) == (Cause.PEER, None)
        assert not it.shim.sessions
        assert not it.tally.decisions


@pytest.mark.parametrize(
    ("stage", "intended", "role"),
    [(Stage.COMPLETE, 1001, Role.CANDIDATE), (Stage.SHADOW, None, Role.CONTROL)],
)
async def test_a_silent_client_is_closed_as_its_monitor_wants(
    tmp_path: Path, stage: Stage, intended: int | None, role: Role
) -> None:
    async with service(tmp_path, stage) as it, aiohttp.ClientSession() as http:
        client = await http.ws_connect(f"{it.url}u", autoping=False)
        await until(lambda: it.tally.decisions[role, True] == 1)
        again = await http.ws_connect(f"{it.url}u")
        await until(lambda: it.told.outcomes)
        assert [outcome.result for outcome in it.told.outcomes] == [Return.RETURNED]
        messages = [message.type async for message in client]
        assert aiohttp.WSMsgType.TEXT not in messages
        assert client.close_code == (intended or 1006)
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended) == (Cause(role.value), intended)
        assert it.tally.proofs_of_life[role] == (1 if intended else 0)
        assert {c.connection.id for c in it.shim.router.connections()} == {"c2"}
        await again.close()


async def test_a_peer_that_reads_nothing_is_gone_in_time(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.COMPLETE) as it:
        client = await connect(f"{it.url}u")
        client.transport.pause_reading()
        (session,) = it.shim.sessions.values()
        (live,) = session.members()
        live.websocket.transport.write(
            b"\x82\x7f" + (8_000_000).to_bytes(8, "big") + bytes(8_000_000)
        )
        await until(lambda: it.told.closings)
        assert it.told.closings[0].intended == 1001
        client.transport.abort()
        await client.wait_closed()


async def test_r3b_a_busy_handler_is_not_a_dead_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = MovedClock(monkeypatch)
    async with service(tmp_path, Stage.COMPLETE) as it:
        it.busy.clear()
        async with connect(f"{it.url}u") as client:
            # Twice the timeout; a client that cannot send, because nothing is read, waits.
            sending: list[asyncio.Task[None]] = []
            for _ in range(32):
                if all(task.done() for task in sending):
                    sending.append(asyncio.create_task(client.send("x" * 30_000)))
                await time.move(it.shim, 0.1)
            assert [t.closed_by for t in it.shim.router.connections()] == [None]
            client.transport.abort()
            await asyncio.gather(*sending, return_exceptions=True)
            it.busy.set()


async def test_a_newer_connection_replaces_the_older(tmp_path: Path) -> None:
    async with (
        service(tmp_path, Stage.LIVE) as it,
        connect(f"{it.url}u") as older,
        connect(f"{it.url}u") as newer,
    ):
        with pytest.raises(ConnectionClosed):
            await older.recv()
        assert (older.close_code, older.close_reason) == (1000, "replaced by a newer connection")
        await newer.send("hello")
        assert await newer.recv() == "you said 'hello'"
        (session,) = it.shim.sessions.values()
        assert [live.connection.id for live in session.members()] == ["c2"]


async def test_the_end_of_the_service_is_1012(tmp_path: Path) -> None:
    async with service(tmp_path, Stage.SHADOW) as it:
        client = await connect(f"{it.url}u")
    assert client.close_code == 1012
    assert [(c.cause, c.intended, c.observed) for c in it.told.closings] == [
        (Cause.APPLICATION, 1012, 1012)
    ]


async def test_a_handler_that_raises_closes_with_1011(tmp_path: Path) -> None:
    """After 1000 clients stay away, after 1011 they come back."""
    async with service(tmp_path, Stage.LIVE) as it, connect(f"{it.url}u") as client:
        await client.send("fail")
        await client.wait_closed()
        assert client.close_code == 1011
        await until(lambda: it.told.closings)
        (closing,) = it.told.closings
        assert (closing.cause, closing.intended) == (Cause.APPLICATION, 1011)
