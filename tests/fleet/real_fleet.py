"""A fleet of real `shim serve` processes behind a real round robin."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp

from shim.ledger.postgres.store_connection import connect
from shim.ledger.postgres.store_schema import prepare
from shim.model.ledger_url import LedgerUrl
from tests.fleet.roaming import Times
from tests.fleet.roaming_client import CLOSE_CODE
from tests.fleet.standstill import Span, Standstills
from tests.live.servers import ServerProcess, server_process
from tests.postgres.helpers import FLEET
from tests.postgres.server import PostgresServer

TIMES = Times(interval=1.0, timeout=3.0, window=6.0, margin=1.2, calm=(8.0, 56.0))
"""Nothing happens to a client before the window of its last return is over."""
QUICK_TIMES = Times(interval=0.5, timeout=2.0, window=4.0, margin=0.8, calm=(0.2, 2.0))


_PATIENCE = aiohttp.ClientTimeout(total=60)

_LONGEST_LINE = 1 << 24
"""Bytes, of what a proxy prints."""

_STARTS = 2
"""Processes that start at once: a start has to end within half a minute, also on a machine with few cores."""


def settings_of(times: Times) -> str:
    """Settings with these times."""
    return _SETTINGS.format(
        interval=f"{times.interval * 1000:.0f}ms",
        timeout=f"{times.timeout * 1000:.0f}ms",
        window=f"{times.window * 1000:.0f}ms",
        code=CLOSE_CODE,
    )


_SETTINGS = """
monitors:
  control: {{plugin: legacy-global, heartbeat_interval: {interval}, timeout: {timeout}}}
  candidate:
    plugin: per-session
    heartbeat_interval: {interval}
    timeout: {timeout}
    close_code: {code}
    close_timeout: 500ms
comparison: {{tolerance: 20s, window: 30s, return_window: {window}}}
guard: {{count: 1000000}}
brake: {{count: 1000000, share: 1}}
server: {{drain: 200ms, max_connections_per_app: 1000000}}
"""
"""Many clients fall silent at once: neither guard nor brake may have a say in what they see. The monitors also
match where a busy machine lets a process stand still between their decisions."""


def flags_of(*, live: int, shadow: int, rules: str = "[]") -> str:
    """A flags file with these percentages for everybody; `rules` in YAML."""
    return f"""version: 1
flag: monitor-rollout
hash: {{algorithm: blake2b-v1, salt: test}}
kill_switch: false
default: "off"
holdback: 0
overrides: {{}}
rules: {rules}
percent: {{complete: 0, live: {live}, shadow: {shadow}}}
...
"""


FLAGS = flags_of(live=70, shadow=30)


def prepared_store(server: PostgresServer) -> LedgerUrl:
    """A store in which nothing is, in a new database."""
    store = LedgerUrl(server.url(server.create_database()))
    with closing(connect(store)) as connection:
        prepare(connection, FLEET, "the store")
    return store


@asynccontextmanager
async def real_fleet(
    folder: Path,
    store: LedgerUrl,
    names: Sequence[str],
    *,
    settings: str,
    flags: str = FLAGS,
) -> AsyncIterator[list[ServerProcess]]:
    """Processes with these names, each with a folder of its own."""
    limit = asyncio.Semaphore(_STARTS)
    lives = {name: AsyncExitStack() for name in names}

    async def start(name: str, life: AsyncExitStack) -> ServerProcess:
        async with limit:
            begun: ServerProcess = await life.enter_async_context(
                member(folder, store, name, settings=settings, flags=flags)
            )
            return begun

    try:
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(start(name, life)) for name, life in lives.items()]
        yield [begun.result() for begun in starts]
    finally:
        # Each takes some seconds to end.
        await asyncio.gather(*(life.aclose() for life in lives.values()))


def member(
    folder: Path, store: LedgerUrl, name: str, *, settings: str, flags: str = FLAGS, **options: Any
) -> Any:
    """One process of the fleet."""
    own = folder / name
    own.mkdir(exist_ok=True, parents=True)
    lines = (
        f"ledger: {json.dumps(store.url)}\noutbox: {own}/outbox.db\nprocess: {name}\nfleet: {FLEET}"
    )
    return server_process(own, settings=settings, ledger=lines, flags=flags, **options)


class Proxy:
    """A process that gives each connection to its port to the next process of a fleet."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    async def standstills(self) -> Standstills:
        """When it did not run until now, by the clients' clock."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        spans = json.loads(await self._process.stdout.readline())
        return Standstills([Span(*span) for span in spans])


@asynccontextmanager
async def round_robin(processes: Sequence[ServerProcess]) -> AsyncIterator[Proxy]:
    """A proxy in front of these processes."""
    ports = [str(port_of(process)) for process in processes]
    proxy = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fleet.round_robin", *ports),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        limit=_LONGEST_LINE,
    )
    assert proxy.stdout is not None
    try:
        yield Proxy(proxy, int(await proxy.stdout.readline()))
    finally:
        proxy.kill()
        await proxy.wait()


def port_of(process: ServerProcess) -> int:
    return int(process.url.rpartition(":")[2])


async def ask(process: ServerProcess, path: str, **body: Any) -> Any:
    """What a process answers to its operator; with a body, after being told that."""
    headers = {"Authorization": f"Bearer {process.secrets['SHIM_OPERATOR_TOKEN']}"}
    method = "POST" if body else "GET"
    async with (
        aiohttp.ClientSession(headers=headers, timeout=_PATIENCE) as http,
        http.request(method, f"{process.url}{path}", json=body or None) as answer,
    ):
        if answer.content_type != "application/json":
            return await answer.text()
        return await answer.json()
