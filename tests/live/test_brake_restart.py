"""The sequences of the brake go on from the ledger when `shim serve` is killed and started again (R22)."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.live.servers import QUICK, ServerProcess, app_client, server_process
from tests.waiting import until

pytestmark = pytest.mark.real

SETTINGS = f"{QUICK}\ngate: {{grain: 100ms}}"
"""The false kills of one minute (`gate.grain`) are one: these two are not that far apart."""


async def close_alive(http: aiohttp.ClientSession, served: ServerProcess, user: str) -> None:
    """A client that speaks after the candidate's close: a false kill of this user."""
    app = await app_client(http, served.url, user, autoping=False, autoclose=False)
    while (message := await app.receive(timeout=60)).type is WSMsgType.PING:
        pass
    assert message.type is WSMsgType.CLOSE
    await app.send_str('{"type": "ping"}')
    await app.close()


async def settled(served: ServerProcess) -> dict[str, Any]:
    """The report, when the false kill has been counted and is in the ledger."""

    async def report() -> dict[str, Any] | None:
        found = await served.report()
        counted = found["proofs_of_life"]["candidate"] and not found["ledger"]["queued"]
        return found if counted else None

    counted: dict[str, Any] = await until(report)
    return counted


async def test_one_false_kill_before_and_one_after_the_kill_of_the_process(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with server_process(tmp_path, "live", SETTINGS) as first:
            await close_alive(http, first, "alice@example.com")
            assert (await settled(first))["brake"] is None
            first.process.kill()
            await first.process.wait()
        async with server_process(tmp_path, "live", SETTINGS) as second:
            assert (await second.report())["brake"] is None
            await close_alive(http, second, "bob@example.com")
            assert (await settled(second))["brake"] == (
                "2 of the candidate's 2 decisions within the day hit a live connection"
            )
