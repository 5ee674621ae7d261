"""R14b over real sockets: who answers the acting monitor's close had been alive."""

from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from shim.model import Role, Stage
from tests.live.servers import app_client, server
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.mark.parametrize("says", ["message", "pong", "close", "all", "nothing"])
async def test_r14b_what_comes_before_the_transport_is_gone_counts_once(
    tmp_path: Path, says: str
) -> None:
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "u", autoping=False, autoclose=False)
        while (message := await app.receive(timeout=60)).type is WSMsgType.PING:
            pass
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
        if says in ("message", "all"):
            await app.send_str('{"type": "ping"}')
        if says in ("pong", "all"):
            await app.pong(b"late")
        if says in ("close", "all"):
            await app.close()
        await until(lambda: not it.shim.sessions)
        assert it.tally.proofs_of_life == ({} if says == "nothing" else {Role.CANDIDATE: 1})


async def test_r14b_a_close_of_the_service_proves_nothing(tmp_path: Path) -> None:
    async with server(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        older = await app_client(http, it.url, "u")
        newer = await app_client(http, it.url, "u")
        assert (await older.receive(timeout=60)).data == 1000
        (session,) = it.shim.sessions.values()
        await until(lambda: session.open == 1)
        assert not it.tally.proofs_of_life
        await newer.close()
