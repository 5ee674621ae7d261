"""Three servers in this process on which everything happens that the boards and alerts are about."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from shim.model import Return, Role, Stage
from tests.live.servers import QUICK, ROLLOUT, Server, app_client, server
from tests.postgres.server import PostgresServer
from tests.waiting import until

CLIENTS = 4


@dataclass(frozen=True)
class Scene:
    """`sound` goes from shadow to live, `rash` has a hasty candidate, `broken` one that fails."""

    sound: Server
    rash: Server
    broken: Server
    flags: Path
    targets: list[str]


@asynccontextmanager
async def scene(folder: Path, collector: str) -> AsyncIterator[Scene]:
    """The servers, and where Prometheus finds them; their traces are sent to the collector."""
    traced = f"{QUICK}\ntelemetry: {{endpoint: '{collector}'}}\n"
    # The control is much slower than the candidate: what happens in between happens alone.
    rash = traced.replace("timeout: 1500ms", "timeout: 30s", 1).replace("window: 3s", "window: 30s")
    broken = traced.replace("monitors:", "monitors:\n  call_limit: 0.001ms")
    for name in ("sound", "rash", "broken"):
        (folder / name).mkdir()
    flags = folder / "sound" / "rollout.yaml"
    write_flags(flags, "shadow")
    async with AsyncExitStack() as stack:
        store = stack.enter_context(PostgresServer())
        url = json.dumps(store.url(store.create_database()))
        # A process of a fleet, so that the rules about the store have data.
        fleet = f"ledger: {url}\noutbox: {folder}/outbox.db"
        servers = [
            await stack.enter_async_context(it)
            for it in (
                server(folder / "sound", None, f"{traced}\nrollout: rollout.yaml\n", fleet),
                server(folder / "rash", Stage.SHADOW, rash),
                server(folder / "broken", Stage.SHADOW, broken),
            )
        ]
        targets = [it.url.removeprefix("http://") for it in servers]
        yield Scene(servers[0], servers[1], servers[2], flags, targets)


def write_flags(file: Path, stage: str) -> None:
    """Everyone at this stage, by percentage: only such users count for return rates (R15)."""
    new = file.with_suffix(".new")
    new.write_text(ROLLOUT.replace("STAGE", "off").replace(f"{stage}: 0", f"{stage}: 100"))
    os.replace(new, file)


async def play(it: Scene, http: aiohttp.ClientSession) -> None:
    """Timeouts in both stages, returns and losses, mismatches, failures, new flags."""
    kept = [await app_client(http, it.broken.url, f"u{n}") for n in range(CLIENTS)]
    await asyncio.gather(_rollout(it, http), _rashness(it.rash, http))
    for websocket in kept:
        await websocket.close()


async def _rollout(it: Scene, http: aiohttp.ClientSession) -> None:
    await _timeouts(it.sound, http, Role.CONTROL)
    stays = await app_client(http, it.sound.url, "stays")
    chatter = asyncio.create_task(_read(stays))
    write_flags(it.flags, "live")
    await until(lambda: all(t.stage is Stage.LIVE for t in it.sound.shim.router.connections()), 30)
    await _timeouts(it.sound, http, Role.CANDIDATE)
    await stays.close()
    await chatter


async def _timeouts(it: Server, http: aiohttp.ClientSession, acting: Role) -> None:
    """Clients that answer nothing are closed; half of them come back, the others are lost."""

    async def timed_out(user: str, returns: bool) -> None:
        silent = await app_client(http, it.url, user, autoping=False)
        await until(lambda: user not in _connected(it), 30)
        assert not silent.closed  # as far as it knows: it reads nothing
        if returns:
            await (await app_client(http, it.url, user)).close()

    await asyncio.gather(*(timed_out(f"{acting.value}{n}", n % 2 == 0) for n in range(CLIENTS)))
    for result in (Return.RETURNED, Return.LOST):
        await until(lambda result=result: it.tally.outcomes[acting, result], 30)


def _connected(it: Server) -> set[str]:
    connections = it.shim.router.connections()
    return {tracked.connection.user for tracked in connections if tracked.closed_by is None}


async def _rashness(it: Server, http: aiohttp.ClientSession) -> None:
    """Two clients that the candidate alone takes for dead: one then speaks, one leaves."""
    speaks = await app_client(http, it.url, "speaks", autoping=False)
    leaves = await app_client(http, it.url, "leaves", autoping=False)
    await until(lambda: it.shim.open_episodes == 2, 30)
    await speaks.send_str('{"type": "ping"}')
    await leaves.close()
    await until(lambda: {"only_candidate", "closed"} <= it.tally.kinds.keys(), 30)


async def _read(websocket: aiohttp.ClientWebSocketResponse) -> None:
    """Reading answers the pings."""
    async for _ in websocket:
        pass
