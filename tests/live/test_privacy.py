"""`privacy.logs`: users are named in the log as the seed does, or by a keyed hash."""

import logging
from pathlib import Path

import aiohttp
import pytest

from shim.model import Role, Stage
from shim.runtime.pseudonyms import Pseudonyms
from tests.live.servers import QUICK, SECRETS, app_client, server
from tests.waiting import until

pytestmark = pytest.mark.real
USER = "alice@example.com"


@pytest.mark.parametrize("logs", ["raw", "hashed"])
async def test_users_in_the_log(
    tmp_path: Path, logs: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="shim")
    settings = f"{QUICK}\nprivacy: {{logs: {logs}}}\n"
    async with server(tmp_path, Stage.LIVE, settings) as it, aiohttp.ClientSession() as http:
        client = await app_client(http, it.url, USER, autoping=False)
        await until(lambda: it.tally.decisions[Role.CANDIDATE, True])
        await client.close()
    name = USER if logs == "raw" else Pseudonyms(SECRETS.hash_key)(USER)
    assert f"[User: {name}] App connection registered: com.example.app1" in caplog.text
    assert f"[User: {name}] Connection timed out: app com.example.app1" in caplog.text
    assert f"[User: {name}] Heartbeat sent to com.example.app1" in caplog.text
    assert (USER in caplog.text) == (logs == "raw")
