"""The examples as they stand there: whoever embeds the shim gets all of it, whatever the WebSocket library."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from shim.cli import main
from shim.rollout.writing import replace_file
from tests.live.servers import QUICK, ROLLOUT
from tests.telemetry.collectors import Received, grpc_collector
from tests.waiting import until

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRETS = {"SHIM_OPERATOR_TOKEN": "operator's token", "SHIM_HASH_KEY": "key of pseudonyms"}
OPERATOR = {"Authorization": f"Bearer {SECRETS['SHIM_OPERATOR_TOKEN']}"}
AIOHTTP, FASTAPI = "aiohttp_service.py", "fastapi_service.py"
WEBSOCKETS = "websockets_service.py"
LISTENERS = (FASTAPI, WEBSOCKETS, "graphql_service.py")
"""These have a listener for the console alone."""
PORT = r"(?:[Rr]unning on http://|server listening on )127.0.0.1:(\d+)"


@dataclass
class Service:
    """`url` is where the WebSockets are, `console` where the console is."""

    process: asyncio.subprocess.Process
    url: str
    console: str

    async def get(self, http: aiohttp.ClientSession, path: str, **query: str) -> Any:
        async with http.get(self.console + path, params=query, headers=OPERATOR) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def command(self, *arguments: str) -> tuple[int, str]:
        """`shim … --url`: its exit code, and what it printed."""
        invoke = CliRunner(env=SECRETS).invoke
        done = await asyncio.to_thread(invoke, main, [*arguments, "--url", self.console])
        return done.exit_code, done.stdout

    async def answer(self, *arguments: str) -> Any:
        code, output = await self.command(*arguments, "--json")
        assert code == 0, output
        return json.loads(output)

    async def stop(self) -> bool:
        """Whether the service ended in order; uvicorn then ends itself by the signal that ended the service."""
        self.process.terminate()
        async with asyncio.timeout(60):
            return await self.process.wait() in (0, -signal.SIGTERM)


def configure(folder: Path, example: str, endpoint: str = "", stage: str = "live") -> Path:
    """The settings and the flags of a service; where the flags are is the answer."""
    (folder / "config").mkdir()
    console = "console: {port: 0}" if example in LISTENERS else ""
    telemetry = f"telemetry: {{endpoint: {endpoint!r}}}" if endpoint else ""
    (folder / "config" / "shim.yaml").write_text(
        f"{QUICK}\nledger: sqlite:///shim.db\n{telemetry}\n{console}\n"
    )
    flags = folder / "config" / "rollout.yaml"
    flags.write_text(ROLLOUT.replace("STAGE", f'"{stage}"'))
    return flags


@asynccontextmanager
async def running(folder: Path, example: str) -> AsyncIterator[Service]:
    """The example as a process of its own, in a folder with its settings."""
    log = folder / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(EXAMPLES / example)),
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **SECRETS, "PORT": "0", "PYTHONUNBUFFERED": "1"},
        )
    try:
        (port,) = await found(log, process, PORT)
        url = console = f"http://127.0.0.1:{port}"
        if example in LISTENERS:
            (console,) = await found(log, process, r"console on (http://[\d.:]+)")
        else:
            console = f"{url}/shim"
        yield Service(process, url, console)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def found(log: Path, process: asyncio.subprocess.Process, pattern: str) -> tuple[str, ...]:
    """What the service says of where it is."""

    async def find() -> re.Match[str] | None:
        said = await asyncio.to_thread(log.read_text)
        assert process.returncode is None, said
        return re.search(pattern, said)

    match: re.Match[str] = await until(find)
    return match.groups()


@pytest.mark.parametrize("example", [AIOHTTP, FASTAPI, WEBSOCKETS])
async def test_a_service_of_ones_own_has_everything(tmp_path: Path, example: str) -> None:
    assert len((EXAMPLES / example).read_text().splitlines()) < 40
    with grpc_collector() as (endpoint, received):
        flags = configure(tmp_path, example, endpoint)
        async with running(tmp_path, example) as service, aiohttp.ClientSession() as http:
            await use(service, http, flags)
            open_client = await connect(service, http, "carol")
            await open_client.send_str("hello")
            assert "hello" in await open_client.receive_str(timeout=60)
            stopping = asyncio.create_task(service.stop())
            # Whoever is there at the end is sent away with the code that brings clients back.
            message = await open_client.receive(timeout=60)
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
            assert await stopping, (tmp_path / "log").read_text()
        assert_traced(received)
        # What was recorded is there after a restart, the brake included.
        async with running(tmp_path, example) as service, aiohttp.ClientSession() as http:
            report = await service.get(http, "/api/report")
            assert report["brake"] == "a test"
            assert len((await service.get(http, "/api/verdicts"))["verdicts"]) == 1
            assert await service.stop()


async def connect(
    service: Service, http: aiohttp.ClientSession, user: str, **options: Any
) -> aiohttp.ClientWebSocketResponse:
    address = f"{service.url}/app?user={user}&package=com.example.app"
    websocket: aiohttp.ClientWebSocketResponse = await http.ws_connect(address, **options)
    return websocket


async def use(service: Service, http: aiohttp.ClientSession, flags: Path) -> None:
    """A client that stays, one that falls silent, a change of the flags, and all commands."""
    healthy = await connect(service, http, "alice")
    reading = asyncio.create_task(healthy.receive())
    other_client = await connect(service, http, "dave")
    other_reading = asyncio.create_task(other_client.receive())
    (row, other) = (await service.answer("connections"))["connections"]
    assert (row["user"], row["stage"], row["acting"]) == ("alice", "live", "candidate")
    assert other["user"] == "dave"
    other_reading.cancel()
    await other_client.close()
    silent = await connect(service, http, "bob", autoping=False)
    message = await silent.receive(timeout=60)
    while message.type is aiohttp.WSMsgType.PING:
        message = await silent.receive(timeout=60)
    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
    await silent.close()

    async def is_judged() -> bool:
        return bool((await service.get(http, "/api/verdicts"))["verdicts"])

    await until(is_judged)
    verdicts = (await service.answer("verdicts"))["verdicts"]
    assert [(row["user"], row["verdict"]) for row in verdicts] == [("bob", "matched")]

    replace_file(flags, ROLLOUT.replace("STAGE", "shadow").encode())

    async def is_moved() -> bool:
        (row,) = (await service.get(http, "/api/connections"))["connections"]
        return bool(row["stage"] == "shadow")

    await until(is_moved)

    status = await service.answer("status")
    assert status["users"]["shadow"] == 1
    assert status["decisions"]["candidate"]["acted"] == 1
    assert status["ledger"]["problem"] is None
    code, output = await service.command("gate")
    assert (code, "insufficient evidence" in output) == (3, True)
    for order in ("engage", "release", "engage"):
        answer = await service.answer("brake", order, "--reason", "a test")
        assert answer["engaged"] == (order == "engage")
    async with http.get(f"{service.console}/metrics", headers=OPERATOR) as answer:
        assert "shim_brake_engaged 1" in await answer.text()
    reading.cancel()
    await healthy.close()


def assert_traced(received: Received) -> None:
    """What is waiting when the service ends still reaches the collector."""
    names = {span.name for span in received.spans}
    assert {"episode matched", "brake", "flags load"} <= names, names
