"""A rollout by file edits, over real sockets: nobody is disconnected, nothing is lost (R20-R22)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Role, Stage
from tests.live.servers import QUICK, ROLLOUT, Server, app_client, server
from tests.waiting import until

pytestmark = pytest.mark.real
USERS = 60
WATCHING = {
    Stage.OFF: {Role.CONTROL},
    Stage.SHADOW: set(Role),
    Stage.LIVE: set(Role),
    Stage.COMPLETE: {Role.CANDIDATE},
}


@dataclass
class Chatter:
    """A client that never stops talking, and misses no answer."""

    websocket: aiohttp.ClientWebSocketResponse
    answered: int = 0

    async def run(self) -> None:
        while True:
            await self.websocket.send_str('{"type": "ping"}')
            answer = await self.websocket.receive_json(timeout=60)
            assert answer["type"] == "pong"
            self.answered += 1
            await asyncio.sleep(0.05)


@asynccontextmanager
async def talking(it: Server) -> AsyncIterator[list[Chatter]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        chatters = [Chatter(await app_client(http, it.url, f"u{n}")) for n in range(USERS)]
        tasks = [asyncio.create_task(chatter.run()) for chatter in chatters]
        yield chatters
        for task in tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def write(folder: Path, stage: str) -> None:
    """As editors and tools do it: a new file takes the place of the old one."""
    new = folder / "new.yaml"
    new.write_text(ROLLOUT.replace("STAGE", f'"{stage}"'))
    os.replace(new, folder / "rollout.yaml")


def at(it: Server, stage: Stage) -> bool:
    tracked = list(it.shim.router.connections())
    assert len(tracked) == USERS
    assert all(any(t.instance(role) for role in Role) for t in tracked)  # R4
    return all(
        t.stage is stage
        and t.acting is stage.acting
        and {role for role in Role if t.instance(role) is not None} == WATCHING[stage]
        for t in tracked
    )


async def test_a_rollout_by_edits_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "off")
    flags = tmp_path / "rollout.yaml"
    async with (
        server(tmp_path, None, f"{QUICK}\nrollout: rollout.yaml\n") as it,
        talking(it) as all_,
    ):
        assert at(it, Stage.OFF)
        for stage in (Stage.SHADOW, Stage.LIVE, Stage.COMPLETE):
            write(tmp_path, str(stage))
            await until(lambda stage=stage: at(it, stage))
        flags.write_text(flags.read_text()[:-30])
        assert it.shim.assembly.flags is not None
        await until(lambda: it.shim.assembly.flags.problem is not None)
        assert at(it, Stage.COMPLETE)
        async with aiohttp.ClientSession() as http, http.get(f"{it.url}/readyz") as answer:
            ready = await answer.json()
        assert (ready["status"], ready["flags"]["refused"]) == ("ready", True)
        assert ready["flags"]["digest"] == it.shim.assembly.flags.digest
        assert ready["flags"]["age"] >= 0
        it.shim.engage_brake("a test of it")
        await until(lambda: at(it, Stage.SHADOW))
        write(tmp_path, "live")
        await until(lambda: it.shim.assembly.flags.problem is None)
        assert at(it, Stage.SHADOW)
        it.shim.release_brake("the test is over")
        await until(lambda: at(it, Stage.LIVE))
        write(tmp_path, "off")
        await until(lambda: at(it, Stage.OFF))
        before = [chatter.answered for chatter in all_]
        await until(lambda: all(c.answered > b for c, b in zip(all_, before, strict=True)))
        assert not it.tally.decisions


async def test_r22_the_brake_survives_a_restart_and_does_not_release_itself(tmp_path: Path) -> None:
    async with server(tmp_path, Stage.LIVE) as it:
        it.shim.engage_brake("a test of it")
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, "u1")
        (tracked,) = it.shim.router.connections()
        assert (tracked.stage, tracked.acting) == (Stage.SHADOW, Role.CONTROL)
        it.shim.release_brake("the test is over")
        await until(lambda: tracked.acting is Role.CANDIDATE)
        await client.close()
    async with server(tmp_path, Stage.LIVE) as it:
        assert it.shim.router.brake_reason is None
    row = SqliteReader(tmp_path / "shim.db").brake()
    assert row is not None
    assert (row.engaged, row.reason) == (False, "the test is over")
