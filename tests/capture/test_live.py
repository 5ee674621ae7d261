"""The same episodes live and replayed give the same verdicts (real sockets, a stopped server included)."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from shim.cli import main
from tests.capture.files import captures
from tests.live.servers import app_client
from tests.waiting import until

pytestmark = pytest.mark.real

SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 2s, timeout: 8s}
  candidate: {plugin: per-session, heartbeat_interval: 1s, timeout: 4s, close_timeout: 1s, stall_threshold: 1s}
comparison: {tolerance: 7s, window: 14s, return_window: 4s}
guard: {count: 1000}
brake: {count: 1000, share: 1}
ledger: sqlite:///FOLDER/shim.db
server: {drain: 200ms}
"""
HEARTBEAT = 2
"""Seconds, the control's."""

SPEAKS, LEAVES, RETURNS, STOPS, ENDS = 1, 6.75, 7, 8.5, 23
PAUSE = 9
"""What happens when, in seconds from a heartbeat of the control. A live decision comes some milliseconds after
its time, on a busy machine up to a quarter of a second; the replay's comes on time. So two decisions that are
about a tolerance or a window apart are judged differently. Here all of it is 1.5 s from being judged
differently, and the control's heartbeat a second:

      1    the clients speak, and then are silent; the healthy ones answer pings
      5    the candidate decides on the silent clients
      6.75 some of them leave
      7    some of them speak again
      8.5  the server is stopped, or not
     10    the control decides on the silent clients
     11    the candidate decides on those who spoke at 7
     16    the control decides on them
     17.5  the server goes on; the control decides on everybody (skew 12.5 s for who was silent from 1 on)
     20    the candidate decides on those who spoke at 7: it does not count the pause
     21    the candidate decides on the healthy clients, if the control has closed them
"""
SLACK = 0.6
"""Seconds. A timer that comes later than 0.25 s is a pause, which the capture has."""


class Moments:
    """Waits until a time in seconds after `origin`, which is on the monotonic clock."""

    def __init__(self, origin: float) -> None:
        self._origin = origin

    async def reach(self, seconds: float) -> None:
        await asyncio.sleep(self._origin + seconds - time.monotonic())


@dataclass
class Served:
    """A server in a process of its own; its control began at `start` on the monotonic clock."""

    process: asyncio.subprocess.Process
    start: float
    url: str

    def moments(self) -> Moments:
        """From a heartbeat that comes when all clients can have connected."""
        heartbeats = ceil((time.monotonic() - self.start + 0.5) / HEARTBEAT)
        return Moments(self.start + heartbeats * HEARTBEAT)


@asynccontextmanager
async def serving(folder: Path, stage: str) -> AsyncIterator[Served]:
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
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line, (folder / "log").read_text()
        start, url = line.split()
        yield Served(process, float(start), url)
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(60):
                assert await process.wait() == 0, (folder / "log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


Connect = Callable[[str], Awaitable[aiohttp.ClientWebSocketResponse]]


async def _healthy(connect: Connect, user: str) -> None:
    """Answers pings."""
    async for _ in await connect(user):
        pass


async def _quiet(connect: Connect, user: str, moments: Moments, *speaks: float) -> None:
    """Answers no ping, speaks at these moments, and then never again."""
    websocket = await connect(user)
    for moment in speaks:
        await moments.reach(moment)
        await websocket.send_str('{"type": "heartbeat"}')
    async for _ in websocket:
        pass


async def _leaves(connect: Connect, user: str, moments: Moments) -> None:
    """Goes while one monitor has decided and the other has not."""
    websocket = await connect(user)
    await moments.reach(SPEAKS)
    await websocket.send_str('{"type": "heartbeat"}')
    await moments.reach(LEAVES)
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


async def run(folder: Path, stage: str, *, stops: bool) -> None:
    async with serving(folder, stage) as served, aiohttp.ClientSession() as http:
        moments = served.moments()
        answering = partial(app_client, http, served.url)
        mute = partial(answering, autoping=False)
        clients = [
            *(_healthy(answering, f"healthy{n}") for n in range(10)),
            *(_quiet(mute, f"back{n}", moments, SPEAKS, RETURNS) for n in range(5)),
            *(_quiet(mute, f"gone{n}", moments, SPEAKS) for n in range(5)),
            *(_leaves(mute, f"leaves{n}", moments) for n in range(3)),
        ]
        tasks = [asyncio.create_task(client) for client in clients]
        if stops:
            await moments.reach(STOPS)
            served.process.send_signal(signal.SIGSTOP)
            await moments.reach(STOPS + PAUSE)
            served.process.send_signal(signal.SIGCONT)
        await moments.reach(ENDS)
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
    # The zero of the capture is a heartbeat of the control.
    zero = verdicts[0]["last_activity"] - again[0]["last_activity"]
    heartbeats = (zero - live["start"]) / HEARTBEAT
    assert heartbeats == pytest.approx(round(heartbeats), abs=1e-5)
    for was, now in zip(verdicts, again, strict=True):
        for name in TIMES:
            assert (was[name] is None) == (now[name] is None)
            if was[name] is not None:
                assert was[name] - zero == pytest.approx(now[name], abs=SLACK), (was, now)
    return {(row["kind"], row["recovered"]) for row in verdicts}


async def test_live_and_replay_agree(tmp_path: Path) -> None:
    names = ("shadow", "live", "stopped_shadow", "stopped_live")
    folders = shadow, live, stopped_shadow, stopped_live = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()
    await asyncio.gather(
        run(shadow, "SHADOW", stops=False),
        run(live, "LIVE", stops=False),
        run(stopped_shadow, "SHADOW", stops=True),
        run(stopped_live, "LIVE", stops=True),
    )
    expected = {("only_candidate", True), ("closed", False), ("both", False)}
    assert compare(shadow, acting="control") >= expected
    assert compare(stopped_shadow, acting="control") >= {*expected, ("skewed", False)}
    assert ("both", False) in compare(live, acting="candidate")
    # The candidate knows that the pause was no silence; the control does not (R3).
    assert ("only_control", True) in compare(stopped_live, acting="candidate")
    for folder in (stopped_shadow, stopped_live):
        assert '"stall"' in captures(folder)[0].read_text()


async def test_the_capture_of_a_killed_server_can_be_replayed(tmp_path: Path) -> None:
    async with serving(tmp_path, "SHADOW") as served, aiohttp.ClientSession() as http:
        client = await app_client(http, served.url, "u")
        await until(lambda: any('"open"' in file.read_text() for file in captures(tmp_path)))
        served.process.kill()
        await served.process.wait()
        await client.close()
    assert replayed(tmp_path, "control")["summary"]["connections"] == 1
