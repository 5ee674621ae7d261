"""uvloop: closing and aborting, what the kernel says, pauses; and `shim serve --uvloop`.

Tests of real sockets that were written for asyncio's loop are run on this one, too.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.model import Role, Stage
from shim.runtime.driver import clock
from shim.runtime.tcp_info import read_confirmation
from tests.asgi import test_asgi, test_uvicorn
from tests.live import (
    test_pauses,
    test_peers,
    test_slow_readers,
    test_websockets,
)
from tests.live.servers import ServerProcess, app_client, server, server_process
from tests.support import skip
from tests.waiting import until

pytestmark = pytest.mark.real
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def run() -> Run:
    """Runs a test on uvloop."""
    try:
        import uvloop
    except ImportError:
        skip("uvloop is not installed")
    return uvloop.run


@pytest.mark.parametrize("pending", [0, 8_000_000])
@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.COMPLETE])
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_a_peer_that_never_answers_is_gone_in_time(
    run: Run, tmp_path: Path, stage: Stage, pending: int
) -> None:
    run(test_peers.test_a_peer_that_never_answers_is_gone_in_time(tmp_path, stage, pending))


def test_r3b_a_busy_handler_is_not_a_dead_client(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(test_peers.test_r3b_a_busy_handler_is_not_a_dead_client(tmp_path, monkeypatch, 320))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a peer acknowledged")
def test_r3b_a_client_that_receives_slowly_stays(run: Run, tmp_path: Path) -> None:
    run(test_slow_readers.everywhere(tmp_path, test_slow_readers.receives_slowly))


def test_r3_a_blocked_event_loop_closes_no_healthy_client(run: Run, tmp_path: Path) -> None:
    run(test_pauses.test_r3_a_blocked_event_loop_closes_no_healthy_client(tmp_path))


@pytest.mark.parametrize(
    ("stage", "intended", "role"),
    [(Stage.COMPLETE, 1001, Role.CANDIDATE), (Stage.SHADOW, None, Role.CONTROL)],
)
def test_websockets_a_silent_client_is_closed(
    run: Run, tmp_path: Path, stage: Stage, intended: int | None, role: Role
) -> None:
    run(
        test_websockets.test_a_silent_client_is_closed_as_its_monitor_wants(
            tmp_path, stage, intended, role
        )
    )


def test_asgi_a_silent_client_is_closed(run: Run, tmp_path: Path) -> None:
    run(
        test_asgi.test_a_silent_client_is_closed_as_its_monitor_wants(
            tmp_path, Stage.COMPLETE, 1001, Role.CANDIDATE
        )
    )


def test_asgi_a_peer_that_reads_nothing_is_gone(run: Run, tmp_path: Path) -> None:
    run(test_asgi.test_a_peer_that_reads_nothing_is_gone_in_time(tmp_path, Stage.COMPLETE, "hello"))


def test_asgi_a_busy_endpoint_is_not_a_dead_client(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(
        test_asgi.test_r3b_an_endpoint_that_is_too_busy_to_read_on_is_not_a_dead_client(
            tmp_path, monkeypatch
        )
    )


def test_asgi_the_end_of_the_server_is_1012_and_spread(run: Run, tmp_path: Path) -> None:
    run(test_uvicorn.test_the_end_of_the_server_is_1012_and_spread(tmp_path))


def test_websockets_a_peer_that_reads_nothing_is_gone(run: Run, tmp_path: Path) -> None:
    run(test_websockets.test_a_peer_that_reads_nothing_is_gone_in_time(tmp_path))


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")
def test_the_kernel_says_when_it_last_received(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server(tmp_path, Stage.COMPLETE) as it, aiohttp.ClientSession() as http:
            websocket = await app_client(http, it.url, "u", autoping=False)
            (session,) = it.shim.sessions.values()
            (live,) = session.members()
            transport = live.websocket.transport
            assert transport is not None
            first = read_confirmation(transport, clock(), ())
            await asyncio.sleep(0.1)
            before = clock()
            await websocket.send_str("hello")
            await until(lambda: live.tracked.last_activity >= before)
            second = live.confirm()
            assert first.data_at is not None
            assert second.data_at is not None
            assert first.data_at < before
            # The kernel counts in milliseconds, by a clock that ticks up to 10 ms apart.
            assert before - 20_000 <= second.data_at <= clock()
            assert not second.unread
            transport.pause_reading()
            assert live.confirm().unread
            transport.resume_reading()
            await websocket.close()

    run(scenario())


@asynccontextmanager
async def serving(folder: Path, stage: str) -> AsyncIterator[ServerProcess]:
    """`shim serve --uvloop`; at its end it is asked to stop, and does."""
    async with server_process(folder, stage, options=("--uvloop",)) as it:
        yield it
    assert it.process.returncode == 0


def mapped(pid: int) -> str:
    """The files that a process has in its memory, its libraries among them."""
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.usefixtures("run")
@pytest.mark.skipif(sys.platform != "linux", reason="looks for uvloop in /proc")
async def test_r3_serve_on_uvloop_lives_through_a_pause_and_stops_in_order(tmp_path: Path) -> None:
    users = 50
    async with aiohttp.ClientSession() as http:
        async with serving(tmp_path, "live") as it:
            assert "/uvloop/" in mapped(it.process.pid)
            sockets = [await app_client(http, it.url, f"u{n}") for n in range(users)]
            clients = [asyncio.create_task(websocket.receive()) for websocket in sockets]
            await asyncio.sleep(1)
            it.pause()
            await asyncio.sleep(3)  # twice the timeout
            it.resume()
            await asyncio.sleep(2.5)
            assert not any(client.done() for client in clients)
            report = await it.report()
            assert report["pauses"]["seconds"] > 2.5
            assert report["decisions"]["candidate"] == {"acted": 0, "recorded": 0}
            assert report["decisions"]["control"]["recorded"] > 0
        assert {(await client).data for client in clients} == {1012}


def test_without_uvloop_serve_says_what_to_install() -> None:
    code = """
import sys
sys.modules["uvloop"] = None  # as if it were not there
from shim.cli import main
main(["serve", "--dev", "--uvloop", "--port", "0"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --uvloop: uvloop is not installed; run: pip install ")
