"""The server's network is cut: the guard holds, saves who answers, and closes the rest paced (R6b)."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from shim.model import Role, Stage
from tests.live.servers import QUICK, app_clients, server
from tests.waiting import until

pytestmark = pytest.mark.real

CLIENTS, SAVED = 100, 70
# So many may be closed in a window: a tenth, but at least 5.
SETTINGS = QUICK + "guard: {window: 2s, share: 0.1, count: 5, hold: 2s}\n"


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
async def test_r6b_a_cut_of_the_network(tmp_path: Path, stage: Stage) -> None:
    async with (
        server(tmp_path, stage, SETTINGS) as it,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        # Who does not read answers no ping: that is the cut.
        sockets = await app_clients(http, it.url, CLIENTS, autoping=False)
        lives = {
            live.connection.user: live for s in it.shim.sessions.values() for live in s.members()
        }
        guard = it.shim.router.guard
        assert guard is not None
        await until(lambda: len(guard) > CLIENTS // 2)
        held = [n for n in range(CLIENTS) if lives[f"u{n}"].connection.id in guard]
        back = held[:SAVED] if len(held) > SAVED else held[: len(held) // 2]
        talkers = [asyncio.create_task(_answer(sockets[n])) for n in back]
        await until(lambda: not any(lives[f"u{n}"].connection.id in guard for n in back))
        gone = {f"u{n}" for n in range(CLIENTS)} - {f"u{n}" for n in back}
        await until(lambda: all(lives[user].tracked.closed_by is not None for user in gone), 60)
        saved = [lives[f"u{n}"].tracked for n in back]
        assert [tracked.closed_by for tracked in saved] == [None] * len(back)
        assert all(tracked.instance(Role.CANDIDATE) is not None for tracked in saved)
        await until(lambda: not guard.holding)
        for talker in talkers:
            talker.cancel()
        await asyncio.gather(*talkers, return_exceptions=True)


async def _answer(socket: aiohttp.ClientWebSocketResponse) -> None:
    """The network is back: what waits is read, and pings are answered."""
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
        elif message.type is not aiohttp.WSMsgType.TEXT:
            return
