"""An app may name any user: users of whom no glasses have shown a token are watched, and are no evidence."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.ledger.rows import ActionRow, DecisionRow, ProofRow, Row, VerdictRow
from shim.model import Kind, Role, Stage
from shim.server.serving import serving
from tests.live.servers import OPERATOR, QUICK, SECRETS, Server, app_client, token
from tests.waiting import until

pytestmark = pytest.mark.real

PACKAGE, KEY = "com.example.app1", "the key of one app"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
BRAKED = "2 of the candidate's 2 decisions within the day hit a live connection"


@asynccontextmanager
async def service(
    folder: Path, *, stage: Stage = Stage.LIVE, dev: bool = False, **server: Any
) -> AsyncIterator[Server]:
    """The reference server with one app."""
    options = "".join(f"{name}: {value}, " for name, value in server.items())
    apps = f"apps: {{{PACKAGE}: {{api_key_sha256: {DIGEST}}}}}, "
    settings = QUICK.replace("server: {", f"server: {{{options}{apps}")
    # False kills within one `grain` are one: each client takes longer than that.
    settings += f"gate: {{grain: 1s}}\nledger: sqlite:///{folder}/shim.db\n"
    (folder / "shim.yaml").write_text(settings)
    secrets = replace(SECRETS, dev=dev)
    shim = Shim.open(folder / "shim.yaml", secrets=secrets, targeting=everyone_at(stage))
    listener = listen("127.0.0.1", 0)
    async with serving(shim, listener):
        yield Server(shim, shim.assembly.tally, url_of(listener))


async def app_of(
    http: aiohttp.ClientSession, it: Server, user: str
) -> aiohttp.ClientWebSocketResponse:
    return await app_client(http, it.url, user, key=KEY, autoping=False, autoclose=False)


async def glasses_of(
    http: aiohttp.ClientSession, it: Server, user: str
) -> aiohttp.ClientWebSocketResponse:
    glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=token(user))
    assert (await glasses.receive_json(timeout=60))["type"] == "connection_ack"
    return glasses


async def close_alive(it: Server, app: aiohttp.ClientWebSocketResponse) -> None:
    """It speaks after the candidate's close: a false kill."""
    before = it.tally.proofs_of_life[Role.CANDIDATE]
    while (message := await app.receive(timeout=60)).type is WSMsgType.PING:
        pass
    assert message.type is WSMsgType.CLOSE
    await app.send_str('{"type": "ping"}')
    await app.close()
    await until(lambda: it.tally.proofs_of_life[Role.CANDIDATE] == before + 1)


def counted(it: Server, row: type[Row]) -> list[object]:
    assert it.shim.assembly.records.ledger.flush(10)
    return [getattr(found, "counted") for found in it.shim.assembly.reader.rows(row)]  # noqa: B009


async def test_one_key_and_six_made_up_users_engage_no_brake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with service(tmp_path) as it, aiohttp.ClientSession() as http:
        for numbers in ((1, 2), (3, 4), (5, 6)):
            apps = [await app_of(http, it, f"made-up-{number}") for number in numbers]
            for app in apps:
                await close_alive(it, app)
        await until(lambda: it.tally.verdicts.total() == it.tally.outcomes.total() == 6)
        assert caplog.text.count("(server.count_users_without_glasses)") == 1
        # They are watched, closed and shown.
        async with http.get(f"{it.url}/api/report", headers=OPERATOR) as answer:
            report = await answer.json()
        assert report["proofs_of_life"]["candidate"] == 6
        assert report["brake"] is None
        for row in (DecisionRow, VerdictRow, ActionRow, ProofRow):
            assert set(counted(it, row)) == {False}
        async with http.get(f"{it.url}/api/verdicts", headers=OPERATOR) as answer:
            assert len((await answer.json())["verdicts"]) == 6

    # Neither does a restart count them.
    async with service(tmp_path) as it, aiohttp.ClientSession() as http:
        assert it.shim.router.brake_reason is None
        for user in ("alice", "bob"):
            glasses, app = await glasses_of(http, it, user), await app_of(http, it, user)
            await glasses.close()
            assert it.shim.router.brake_reason is None
            await close_alive(it, app)
        assert it.shim.router.brake_reason == BRAKED
        assert counted(it, ProofRow)[:2] == [True, True]


@pytest.mark.parametrize("by", ["setting", "dev"])
async def test_who_has_no_glasses_may_count_everybody(tmp_path: Path, by: str) -> None:
    options: dict[str, Any] = {"count_users_without_glasses": "true"} if by == "setting" else {}
    async with (
        service(tmp_path, dev=by == "dev", **options) as it,
        aiohttp.ClientSession() as http,
    ):
        for user in ("alice", "bob"):
            await close_alive(it, await app_of(http, it, user))
        assert it.shim.router.brake_reason == BRAKED


async def test_glasses_vouch_for_the_apps_that_are_there_already(tmp_path: Path) -> None:
    async with service(tmp_path, stage=Stage.SHADOW) as it, aiohttp.ClientSession() as http:
        app = await app_of(http, it, "alice")
        (tracked,) = it.shim.router.connections()
        assert not tracked.placement.counted
        assert acted_for(it) == 0
        # A stage that changes makes nobody evidence.
        it.shim.reassess()
        await it.shim.handover.finished()
        assert not tracked.placement.counted
        glasses = await glasses_of(http, it, "alice")
        assert tracked.placement.counted
        assert acted_for(it) == 1
        await glasses.close()
        await app.close()
        await until(lambda: not it.shim.sessions)
        assert acted_for(it) == 0
        # The user has been seen in this run.
        app = await app_of(http, it, "alice")
        (tracked,) = it.shim.router.connections()
        assert tracked.placement.counted
        await app.close()


async def test_a_wrong_token_and_an_apps_token_vouch_for_nobody(tmp_path: Path) -> None:
    forged = token("alice", "x" * 32)
    apps = {**token("x", packageName=PACKAGE, apiKey=KEY), "x-user-id": "bob"}
    async with service(tmp_path) as it, aiohttp.ClientSession() as http:
        async with http.get(f"{it.url}/glasses-ws", headers=forged) as answer:
            assert answer.status == 401
        by_header = await http.ws_connect(
            f"{it.url}/app-ws", headers={**apps, "x-session-id": f"bob-{PACKAGE}"}
        )
        assert (await by_header.receive_json(timeout=60))["type"] == "tpa_connection_ack"
        app = await app_of(http, it, "alice")
        assert [tracked.placement.counted for tracked in it.shim.router.connections()] == [
            False,
            False,
        ]
        await by_header.close()
        await app.close()


def acted_for(it: Server) -> int:
    return it.shim.census.acted_for(Kind.APP, Role.CONTROL)


async def test_one_key_opens_no_more_connections_than_the_setting_says(tmp_path: Path) -> None:
    async with (
        service(tmp_path, stage=Stage.SHADOW, max_connections_per_app=2) as it,
        aiohttp.ClientSession() as http,
    ):
        first, _ = await app_of(http, it, "a"), await app_of(http, it, "b")
        with pytest.raises(AssertionError, match="too many connections of this app"):
            await app_of(http, it, "c")
        # A client that comes back takes the place of its older connection; glasses have no key.
        again = await app_of(http, it, "b")
        await glasses_of(http, it, "c")
        assert it.shim.census.open(Kind.APP) >= 2
        await first.close()
        await again.close()
        await until(lambda: it.shim.census.open(Kind.APP) == 0)
        await app_of(http, it, "c")


async def test_wrong_keys_are_slowed_and_the_right_key_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.server.sockets._SLOWED", 3.0)
    async with service(tmp_path) as it, aiohttp.ClientSession() as http:
        for _ in range(5):
            with pytest.raises(AssertionError, match="unknown package or wrong API key"):
                await app_client(http, it.url, "alice", key="a guess")
        slowed = await http.ws_connect(f"{it.url}/app-ws")
        init = {"type": "tpa_connection_init", "sessionId": f"alice-{PACKAGE}"}
        await slowed.send_json({**init, "packageName": PACKAGE, "apiKey": "a guess"})
        await app_of(http, it, "alice")
        with pytest.raises(TimeoutError):
            await slowed.receive(timeout=0.1)
        assert (await slowed.receive_json(timeout=60))["type"] == "tpa_connection_error"
        assert (await slowed.receive(timeout=60)).data == 1008
