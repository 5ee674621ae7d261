"""The adapter for the `websockets` library, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from shim.flags.targeting import everyone_at
from shim.model import Cause, Role, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.tally import Tally
from shim.settings.settings import load_settings
from shim.websockets import Shim
from tests.live.moved_clock import MovedClock
from tests.live.scenarios import (
    Told,
    closes_a_silent_client,
    replaces_the_older_connection,
    serves_and_watches_and_ends,
)
from tests.live.servers import QUICK
from tests.waiting import until

pytestmark = pytest.mark.real


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
    clock = MovedClock(monkeypatch)
    async with service(tmp_path, Stage.LIVE) as it:
        await serves_and_watches_and_ends(it, clock)


@pytest.mark.parametrize(
    ("stage", "intended", "role"),
    [(Stage.COMPLETE, 1001, Role.CANDIDATE), (Stage.SHADOW, None, Role.CONTROL)],
)
async def test_a_silent_client_is_closed_as_its_monitor_wants(
    tmp_path: Path, stage: Stage, intended: int | None, role: Role
) -> None:
    async with service(tmp_path, stage) as it:
        await closes_a_silent_client(it, intended, role)


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
    async with service(tmp_path, Stage.LIVE) as it:
        await replaces_the_older_connection(it)


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
