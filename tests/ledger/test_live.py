"""A running server whose ledger is in trouble: no connection notices, and the record is whole again."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.ledger import SqliteReader, VerdictFilter
from tests.ledger.helpers import blocked
from tests.live.servers import ServerProcess, app_client, server_process, until

pytestmark = pytest.mark.real


async def talk(websocket: aiohttp.ClientWebSocketResponse) -> None:
    await websocket.send_str('{"type": "ping"}')
    assert (await websocket.receive_json(timeout=20))["type"] == "pong"


async def ready(http: aiohttp.ClientSession, server: ServerProcess) -> dict[str, Any]:
    async with http.get(f"{server.url}/readyz") as answer:
        assert answer.status == 200
        body: dict[str, Any] = await answer.json()
        return body


def users(path: Path) -> list[str]:
    return sorted({row.user for row in SqliteReader(path).verdicts(VerdictFilter()).rows})


async def test_another_process_gets_no_share_of_the_ledger(tmp_path: Path) -> None:
    async with server_process(tmp_path) as server, aiohttp.ClientSession() as http:
        websocket = await app_client(http, server.url, "alice@example.com")
        second = [sys.executable, "-m", "shim", "serve", "--dev", "--port", "0"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*second, "--config", str(tmp_path / "shim.yaml")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2
        assert f"is being written by process {server.process.pid}" in done.stderr
        assert "Traceback" not in done.stderr
        await talk(websocket)
        await websocket.close()


async def test_rubbish_in_place_of_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    async with server_process(tmp_path) as server, aiohttp.ClientSession() as http:
        # A client that does not read does not answer pings either: it is closed.
        await app_client(http, server.url, "silent@example.com")
        await until(lambda: users(path) == ["silent@example.com"], timeout=30)
        websocket = await app_client(http, server.url, "alice@example.com")
        (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
        os.replace(tmp_path / "rubbish", path)
        await app_client(http, server.url, "quiet@example.com")
        while not list(tmp_path.glob("shim.db.corrupt-*")):  # noqa: ASYNC110
            await talk(websocket)
            await asyncio.sleep(0.1)
        await talk(websocket)
        assert (await ready(http, server))["status"] == "ready"
        await websocket.close()
    assert users(path) == ["quiet@example.com", "silent@example.com"]
    log = (tmp_path / "serve.log").read_text()
    assert "is begun with all that was committed" in log
    assert "Traceback" not in log


async def test_a_ledger_that_cannot_be_written_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "shim.db"
    async with server_process(tmp_path) as server, aiohttp.ClientSession() as http:
        websocket = await app_client(http, server.url, "alice@example.com")
        stranger = blocked(path)
        await app_client(http, server.url, "silent@example.com")
        while "ledger" not in await ready(http, server):
            await talk(websocket)
            await asyncio.sleep(0.1)
        assert "locked" in (await ready(http, server))["ledger"]
        assert users(path) == []
        stranger.close()
        await until(lambda: users(path) == ["silent@example.com"], timeout=30)
        await talk(websocket)
        assert await ready(http, server) == {"status": "ready"}
        await websocket.close()


async def test_a_server_does_not_start_on_what_is_no_ledger(tmp_path: Path) -> None:
    path, config = tmp_path / "shim.db", tmp_path / "shim.yaml"
    config.write_text(f"ledger: sqlite:///{path}\nrollout: null\n")
    path.write_bytes(b"my thesis" * 1000)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "shim", "serve", "--dev", "--port", "0", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"error: {path} is no ledger" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == b"my thesis" * 1000
