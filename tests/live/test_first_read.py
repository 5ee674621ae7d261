"""R3: whatever a client says first after a pause waits for the control; with the server itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from shim.model import Stage, Verdict
from shim.router import Decided, Observer, Opened, Paused, handles
from tests.live.moved_clock import MovedClock
from tests.live.servers import app_client, server

SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 2s, timeout: 6s}
  candidate: {plugin: per-session, heartbeat_interval: 2s, timeout: 6s, close_timeout: 1s, stall_threshold: 1s}
comparison: {tolerance: 7s, window: 9s, return_window: 4s}
guard: {count: 1000}
brake: {count: 1000}
"""


class Order(Observer):
    """What happened, in its order: a pause, decisions, verdicts, openings."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self.events.append("pause")

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self.events.append(f"{decided.role.value} decides")

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.events.append(f"{verdict.kind.value}, recovered: {verdict.recovered}")

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        self.events.append("opened")


@asynccontextmanager
async def silent_client(
    folder: Path, clock: MovedClock
) -> AsyncIterator[
    tuple[Order, aiohttp.ClientWebSocketResponse, Callable[[], Awaitable[None]], str]
]:
    order = Order()
    async with server(folder, Stage.LIVE, SETTINGS) as it, aiohttp.ClientSession() as http:
        websocket = await app_client(http, it.url, "u", autoping=False)
        it.shim.observer.add(order)
        await clock.move(it.shim, 3)

        async def pause() -> None:
            clock.pause(7)
            for _ in range(50):
                await asyncio.sleep(0)

        yield order, websocket, pause, it.url
        await websocket.close()


@pytest.mark.real
@pytest.mark.parametrize(
    ("says", "then"),
    [
        ("message", "only_control, recovered: True"),
        ("pong", "only_control, recovered: True"),
        ("ping", None),
        ("close", "closed, recovered: False"),
    ],
)
async def test_r3_whatever_the_client_says_waits_for_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, then: str | None
) -> None:
    clock = MovedClock(monkeypatch)
    async with silent_client(tmp_path, clock) as (order, websocket, pause, _):
        if says == "message":
            await websocket.send_str('{"type": "heartbeat"}')
        elif says == "ping":
            await websocket.ping()
        elif says == "pong":
            await websocket.pong()
        else:
            await websocket._writer.close(1000)
        await pause()
        assert order.events[:3] == ["pause", "control decides"] + [then] * (then is not None)


@pytest.mark.real
async def test_r3_a_new_connection_waits_for_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovedClock(monkeypatch)
    async with (
        silent_client(tmp_path, clock) as (order, _, pause, url),
        aiohttp.ClientSession() as http,
    ):
        opening = asyncio.create_task(app_client(http, url, "another"))
        await asyncio.sleep(0)
        await pause()
        await opening
        assert order.events[:3] == ["pause", "control decides", "opened"]
