"""A running server whose ledger is in trouble: no connection notices, and the record is whole again."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest

from shim.ledger.protocols import UnusableError, VerdictFilter
from shim.ledger.sqlite.reader import SqliteReader
from tests.ledger.helpers import blocked
from tests.live.servers import ServerProcess, app_client, server_process
from tests.waiting import until

pytestmark = pytest.mark.real


SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 1s, timeout: 5s}
  candidate: {plugin: per-session, heartbeat_interval: 1s, timeout: 5s, close_timeout: 1s}
comparison: {tolerance: 5s, window: 10s, return_window: 4s}
server: {drain: 200ms}
"""


@asynccontextmanager
async def talking(http: aiohttp.ClientSession, server: ServerProcess) -> AsyncIterator[None]:
    """A user who talks all the time, and notices nothing of what is done meanwhile."""
    websocket = await app_client(http, server.url, "alice@example.com")
    done = asyncio.Event()

    async def talk() -> None:
        while not done.is_set():
            await websocket.send_str('{"type": "ping"}')
            assert (await websocket.receive_json())["type"] == "pong"
            await asyncio.sleep(0.1)

    conversation = asyncio.create_task(talk())
    try:
        yield
    finally:
        done.set()
        await conversation
        await websocket.close()


async def logged(folder: Path, text: str) -> None:
    await until(lambda: text in (folder / "serve.log").read_text(), timeout=60)


async def serve(config: Path) -> subprocess.CompletedProcess[str]:
    """`shim serve` as somebody starts it who will not succeed."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shim", "serve", "--dev", "--port", "0", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def users(path: Path) -> list[str]:
    """Nobody while one file is moved aside and another is not there yet."""
    try:
        return sorted({row.user for row in SqliteReader(path).verdicts(VerdictFilter()).rows})
    except UnusableError:
        return []


async def test_another_process_gets_no_share_of_the_ledger(tmp_path: Path) -> None:
    async with (
        server_process(tmp_path, settings=SETTINGS) as server,
        aiohttp.ClientSession() as http,
        talking(http, server),
    ):
        done = await serve(tmp_path / "shim.yaml")
        assert done.returncode == 2
        assert f"is being written by process {server.process.pid}" in done.stderr
        assert "Traceback" not in done.stderr


async def test_rubbish_in_place_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    async with (
        server_process(tmp_path, settings=SETTINGS) as server,
        aiohttp.ClientSession() as http,
        talking(http, server),
    ):
        # A client that does not read does not answer pings either: it is closed.
        silent = await app_client(http, server.url, "silent@example.com")
        await until(lambda: users(path) == ["silent@example.com"], timeout=60)
        (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
        os.replace(tmp_path / "rubbish", path)
        quiet = await app_client(http, server.url, "quiet@example.com")
        await until(lambda: list(tmp_path.glob("shim.db.corrupt-*")), timeout=60)
        await until(lambda: users(path) == ["quiet@example.com", "silent@example.com"], timeout=60)
        await logged(tmp_path, "rows are committed again")
        assert silent is not quiet  # both were there to the end
    log = (tmp_path / "serve.log").read_text()
    assert "is begun with all that was committed" in log
    assert "Traceback" not in log


async def test_a_ledger_that_cannot_be_written_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    async with (
        server_process(tmp_path, settings=SETTINGS) as server,
        aiohttp.ClientSession() as http,
        talking(http, server),
    ):
        with closing(blocked(path)):
            silent = await app_client(http, server.url, "silent@example.com")
            await logged(tmp_path, "nothing can be committed, rows wait: database is locked")
            assert users(path) == []
        await until(lambda: users(path) == ["silent@example.com"], timeout=60)
        await logged(tmp_path, "rows are committed again")
        assert silent is not None  # it was there to the end


async def test_a_server_does_not_start_on_what_is_no_ledger(tmp_path: Path) -> None:
    path, config = tmp_path / "shim.db", tmp_path / "shim.yaml"
    config.write_text(f"ledger: sqlite:///{path}\nrollout: null\n")
    path.write_bytes(b"my thesis" * 1000)
    done = await serve(config)
    assert done.returncode == 2
    assert f"error: {config}:1:1: ledger: {path} is no ledger" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == b"my thesis" * 1000
