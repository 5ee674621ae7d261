"""Reference servers for tests: in this process, or in one of their own that can be stopped."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import jwt

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.secrets import Secrets
from shim.runtime.tally import Tally
from shim.server.serving import serving
from shim.settings.settings import load_settings
from tests import prepared_python
from tests.prepared_python import ForkedProcess

SECRETS = Secrets("j" * 32, "operator", "hash-key", dev=True)
OPERATOR = {"Authorization": f"Bearer {SECRETS.operator_token}"}

QUICK = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 500ms, timeout: 1500ms}
  candidate:
    plugin: per-session
    heartbeat_interval: 500ms
    timeout: 1500ms
    close_timeout: 500ms
    stall_threshold: 500ms
comparison: {tolerance: 1s, window: 3s, return_window: 4s}
server: {drain: 200ms, init_timeout: 1s, max_message_size: 1048576}
"""

PATIENT = QUICK.replace("timeout: 1500ms", "timeout: 60s")
"""For clients that answer no ping, where the test is about another matter."""
_SPEAKS_EVERY = 0.2
"""Seconds, of the 1.5 after which a client of `QUICK` is silent."""


def token(user: str, secret: str = SECRETS.jwt_secret, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt.encode({'email': user, **claims}, secret, 'HS256')}"}


@dataclass
class Server:
    shim: Shim
    tally: Tally
    url: str

    def connections(self) -> int:
        return sum(t.closed_by is None for t in self.shim.router.connections())


@asynccontextmanager
async def server(
    folder: Path,
    stage: Stage | None = Stage.SHADOW,
    settings: str = QUICK,
    ledger: str | None = None,
) -> AsyncIterator[Server]:
    """The reference server in this event loop; without a stage the flags file has its say.

    `ledger` are the lines about the ledger, if it is no file in the folder.
    """
    path = folder / "shim.yaml"
    ledger = ledger or f"ledger: sqlite:///{folder}/shim.db"
    path.write_text(f"{settings}\n{ledger}\n")
    types = monitor_types(plugin_manager())
    rollout = None if stage is None else everyone_at(stage)
    shim = Shim.open(load_settings(path, types), secrets=SECRETS, targeting=rollout)
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener):
        yield Server(shim, shim.assembly.tally, url_of(listener))


ROLLOUT = """version: 1
flag: monitor-rollout
hash: {algorithm: blake2b-v1, salt: test}
kill_switch: false
default: STAGE
holdback: 0
overrides: {}
rules: []
percent: {complete: 0, live: 0, shadow: 0}
...
"""


class ServerProcess:
    """`shim serve` in a process of its own."""

    def __init__(self, process: ForkedProcess, secrets: dict[str, str], url: str):
        self.process = process
        self.secrets = secrets
        self.url = url

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def report(self) -> dict[str, Any]:
        """What the process says of itself, also in a fleet."""
        headers = {"Authorization": f"Bearer {self.secrets['SHIM_OPERATOR_TOKEN']}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.get(f"{self.url}/api/report") as answer,
        ):
            report: dict[str, Any] = await answer.json()
            return report["process"] or report


@asynccontextmanager
async def server_process(
    folder: Path,
    stage: str = "shadow",
    settings: str = QUICK,
    ledger: str | None = None,
    rollout: str = "rollout.yaml",
    flags: str | None = None,
    program: Sequence[str] = ("shim.cli",),
    options: Sequence[str] = (),
) -> AsyncIterator[ServerProcess]:
    """`ledger` are the lines about the ledger, if it is no file in the folder; `rollout` is a setting.

    `flags` is the text of the flags file, if not everybody is at `stage`; `program` is a module
    whose `main` runs, and its first arguments; `options` are more of `shim serve`.
    """
    ledger = ledger or f"ledger: sqlite:///{folder}/shim.db"
    (folder / "rollout.yaml").write_text(flags or ROLLOUT.replace("STAGE", f'"{stage}"'))
    config = folder / "shim.yaml"
    config.write_text(f"{settings}\nrollout: {rollout}\n{ledger}\n")
    module, *arguments = program
    arguments += ["serve", "--dev", "--port", "0", "--config", str(config), *options]
    with (folder / "serve.log").open("wb") as log:
        process = await prepared_python.start(module, arguments, os.environ, log)
    secrets: dict[str, str] = {}
    try:
        async with asyncio.timeout(90):
            while line := (await process.stdout.readline()).decode():
                if match := re.match(r"(SHIM_\w+)=(\S+)", line):
                    secrets[match[1]] = match[2]
                if match := re.search(r"listening on (http://\S+)", line):
                    url = match[1]
                    break
            else:
                raise AssertionError((folder / "serve.log").read_text())
        yield ServerProcess(process, secrets, url)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        process.close()


async def app_clients(
    http: aiohttp.ClientSession, url: str, count: int, **options: Any
) -> list[aiohttp.ClientWebSocketResponse]:
    """The apps of the users `u0`, `u1`, …: none falls silent while a slow machine opens the others."""
    websockets: list[aiohttp.ClientWebSocketResponse] = []
    spoken_at = monotonic()
    for number in range(count):
        websockets.append(await app_client(http, url, f"u{number}", **options))
        if number == count - 1 or monotonic() - spoken_at > _SPEAKS_EVERY:
            for websocket in websockets:
                await websocket.send_str('{"type": "heartbeat"}')
            spoken_at = monotonic()
    return websockets


async def app_client(
    http: aiohttp.ClientSession,
    url: str,
    user: str,
    package: str = "com.example.app1",
    *,
    key: str = "dev",
    **options: Any,
) -> aiohttp.ClientWebSocketResponse:
    """An app that has been acknowledged."""
    websocket: aiohttp.ClientWebSocketResponse = await http.ws_connect(f"{url}/app-ws", **options)
    init = {"type": "tpa_connection_init", "sessionId": f"{user}-{package}"}
    await websocket.send_str(json.dumps({**init, "packageName": package, "apiKey": key}))
    answer = await websocket.receive_json(timeout=60)
    assert answer["type"] == "tpa_connection_ack", answer
    return websocket
