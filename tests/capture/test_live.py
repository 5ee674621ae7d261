"""The same episodes live and replayed give the same verdicts (real sockets, a stopped server included)."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from shim.cli import main
from tests.capture.files import captures
from tests.live.servers import app_client, until

pytestmark = pytest.mark.real

SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 2s, timeout: 6s}
  candidate: {plugin: per-session, heartbeat_interval: 1s, timeout: 3s, close_timeout: 1s, stall_threshold: 1s}
comparison: {tolerance: 7s, window: 9s, return_window: 4s}
guard: {count: 1000}
brake: {count: 1000, share: 1}
ledger: sqlite:///FOLDER/shim.db
server: {drain: 200ms}
"""
SLACK = 0.6
"""Seconds. A timer that comes later than 0.25 s is a pause, which the capture has."""


@asynccontextmanager
async def serving(
    folder: Path, stage: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    (folder / "shim.yaml").write_text(SETTINGS.replace("FOLDER", str(folder)))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.capture.serve", str(folder), stage),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
        assert line, (folder / "log").read_text()
        yield line.split()[-1], process
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(20):
                assert await process.wait() == 0, (folder / "log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


async def _healthy(http: aiohttp.ClientSession, url: str, user: str) -> None:
    """Answers pings."""
    websocket = await app_client(http, url, user)
    async for _ in websocket:
        pass


async def _quiet(http: aiohttp.ClientSession, url: str, user: str, *silences: float) -> None:
    """Answers no ping, speaks after each of the silences, and then never again."""
    websocket = await app_client(http, url, user, autoping=False)
    for silence in silences:
        await asyncio.sleep(silence)
        await websocket.send_str('{"type": "heartbeat"}')
    async for _ in websocket:
        pass


async def _leaves(http: aiohttp.ClientSession, url: str, user: str) -> None:
    """Goes while one monitor has decided and the other has not."""
    websocket = await app_client(http, url, user, autoping=False)
    await asyncio.sleep(4)
    await websocket.close()


def replayed(folder: Path, acting: str) -> dict[str, Any]:
    (capture,) = captures(folder)
    options = ["--config", str(folder / "shim.yaml"), "--acting", acting, "--json"]
    result = CliRunner().invoke(main, ["replay", str(capture), *options])
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


FACTS = ("connection", "verdict", "kind", "first", "recovered")
TIMES = ("at", "control_at", "candidate_at", "last_activity")


async def run(folder: Path, stage: str, pause: float) -> None:
    async with serving(folder, stage) as (url, process), aiohttp.ClientSession() as http:
        clients = [
            *(_healthy(http, url, f"healthy{n}") for n in range(10)),
            *(_quiet(http, url, f"back{n}", 4.5, 4.5) for n in range(5)),
            *(_quiet(http, url, f"gone{n}", 0.3 * n) for n in range(5)),
            *(_leaves(http, url, f"leaves{n}") for n in range(3)),
        ]
        tasks = [asyncio.create_task(client) for client in clients]
        await asyncio.sleep(5)
        if pause:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(pause)
            process.send_signal(signal.SIGCONT)
        await asyncio.sleep(8.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def compare(folder: Path, acting: str) -> set[tuple[str, bool]]:
    """The replay of the capture gives the live verdicts; the answer is what kinds there were."""
    live = json.loads((folder / "live.json").read_text())
    verdicts, again = (
        sorted(rows, key=lambda row: (row["connection"], row["last_activity"]))
        for rows in (live["verdicts"], replayed(folder, acting)["verdicts"])
    )
    assert [tuple(row[fact] for fact in FACTS) for row in verdicts] == [
        tuple(row[fact] for fact in FACTS) for row in again
    ]
    for was, now in zip(verdicts, again, strict=True):
        for name in TIMES:
            assert (was[name] is None) == (now[name] is None)
            if was[name] is not None:
                # Nobody was connected before: the zero of the capture is the control's start.
                assert was[name] - live["start"] == pytest.approx(now[name], abs=SLACK), (was, now)
    return {(row["kind"], row["recovered"]) for row in verdicts}


@pytest.mark.parametrize("pause", [0.0, 7.0])
async def test_live_and_replay_agree(tmp_path: Path, pause: float) -> None:
    shadow, live = tmp_path / "shadow", tmp_path / "live"
    for folder in (shadow, live):
        folder.mkdir()
    await asyncio.gather(run(shadow, "SHADOW", pause), run(live, "LIVE", pause))
    kinds = compare(shadow, acting="control")
    assert kinds >= {("only_candidate", True), ("closed", False), ("both", False)}
    kinds = compare(live, acting="candidate")
    # The candidate knows that the pause was no silence; the control does not (R3).
    assert (("only_control", True) if pause else ("both", False)) in kinds
    for folder in (shadow, live):
        stalls = captures(folder)[0].read_text().count('"stall"')
        assert stalls >= bool(pause)


async def test_the_capture_of_a_killed_server_can_be_replayed(tmp_path: Path) -> None:
    async with serving(tmp_path, "SHADOW") as (url, process), aiohttp.ClientSession() as http:
        client = await app_client(http, url, "u")
        await until(lambda: any('"open"' in file.read_text() for file in captures(tmp_path)))
        process.kill()
        await process.wait()
        await client.close()
    assert replayed(tmp_path, "control")["summary"]["connections"] == 1
