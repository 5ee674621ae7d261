"""How many clients of a user are let in, and what operators see of those that are refused."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.runtime.pseudonyms import Pseudonyms
from tests.live.door_clients import INIT, PACKAGE, refused
from tests.live.servers import SECRETS, Server, app_client, server, token
from tests.waiting import until

pytestmark = pytest.mark.real


LIMIT = 3
LIMITED = f"server: {{max_connections_per_user: {LIMIT}, drain: 200ms}}"
"""Clients of these tests that do not receive are as good as frozen: they answer no close frame."""


async def try_app(
    http: aiohttp.ClientSession, url: str, package: str
) -> aiohttp.ClientWebSocketResponse:
    """An app of alice's that has introduced itself; the answer is still to be read."""
    app = await http.ws_connect(f"{url}/app-ws")
    await app.send_str(
        json.dumps({**INIT, "sessionId": f"alice-{package}", "packageName": package})
    )
    return app


async def all_apps(http: aiohttp.ClientSession, url: str) -> list[aiohttp.ClientWebSocketResponse]:
    return [await app_client(http, url, "alice", f"com.example.app{n}") for n in range(LIMIT)]


def sockets(it: Server) -> int:
    """Those of alice that have not ended."""
    session = it.shim.sessions.get("alice")
    return 0 if session is None else session.open


async def serves(app: aiohttp.ClientWebSocketResponse) -> bool:
    await app.send_str('{"type": "ping"}')
    return bool((await app.receive_json(timeout=60))["type"] == "pong")


async def test_more_than_the_limit_may_try_again_later(tmp_path: Path) -> None:
    async with server(tmp_path, settings=LIMITED) as it, aiohttp.ClientSession() as http:
        apps = await all_apps(http, it.url)
        app = await try_app(http, it.url, "com.example.more")
        assert await refused(app, 1013) == "too many connections"
        glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=token("alice"))
        assert await refused(glasses, 1013) == "too many connections"
        others = await http.ws_connect(f"{it.url}/glasses-ws", headers=token("bob"))
        assert (await others.receive_json())["type"] == "connection_ack"
        await apps.pop().close()
        await until(lambda: sockets(it) == LIMIT - 1)
        glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=token("alice"))
        assert (await glasses.receive_json())["type"] == "connection_ack"


async def test_at_the_limit_the_newer_one_still_wins(tmp_path: Path) -> None:
    async with server(tmp_path, settings=LIMITED) as it, aiohttp.ClientSession() as http:
        apps = await all_apps(http, it.url)
        newer = await app_client(http, it.url, "alice", "com.example.app1")
        closed = await apps[1].receive()
        assert (closed.data, closed.extra) == (1000, "replaced by a newer connection")
        assert await serves(newer)
        assert await serves(apps[0])


async def test_all_may_come_back_before_their_frozen_predecessors_are_gone(tmp_path: Path) -> None:
    async with server(tmp_path, settings=LIMITED) as it, aiohttp.ClientSession() as http:
        frozen = await all_apps(http, it.url)
        back = await all_apps(http, it.url)
        assert sockets(it) == 2 * LIMIT
        for app in back:
            assert await serves(app)
        # Once more is too soon, and costs nobody a connection.
        again = await try_app(http, it.url, "com.example.app0")
        assert await refused(again, 1013) == "too many connections"
        assert await serves(back[0])
        for app in frozen:
            await app.receive()
        await until(lambda: sockets(it) == LIMIT)
        assert await serves(await app_client(http, it.url, "alice", "com.example.app0"))


async def test_a_flood_of_one_app_holds_a_bounded_number_of_sockets(tmp_path: Path) -> None:
    async with server(tmp_path, settings=LIMITED) as it, aiohttp.ClientSession() as http:
        flood = await asyncio.gather(*(try_app(http, it.url, PACKAGE) for _ in range(10 * LIMIT)))
        answers = [(await app.receive_json(timeout=60))["type"] for app in flood]
        assert answers.count("tpa_connection_ack") == 2 * LIMIT == sockets(it)
        assert answers.count("tpa_connection_error") == len(flood) - 2 * LIMIT
        # Of one that is replaced nothing is left after the time to close, though it never answers.
        await until(lambda: sockets(it) == 1, timeout=8)


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The one line about a client that was refused."""
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(line.splitlines()) == 1
    assert len(line) < 400
    return line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"apiKey": "a secret"}, f"[User: u] App connection refused: {PACKAGE}, from 127.0.0.1: "),
        ({"apiKey": "a secret"}, ": unknown package or wrong API key"),
        ({"sessionId": "u\n[User: bob] FAKE"}, r"[User: u\n\x5bUser: bob\x5d FAKE] App"),
        ({"packageName": "\ud800"}, r"refused: \ud800, from 127.0.0.1: packageName has characters"),
        ({"packageName": "y" * 5000}, f"refused: {'y' * 80}…, from"),
        ({"sessionId": 7}, "[User: unknown] App connection refused: com.example.app1, from"),
        ({"type": "hello"}, "[User: unknown] App connection refused: unknown, from"),
    ],
)
async def test_a_refused_app_is_one_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], line: str
) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        await app.send_str(json.dumps({**INIT, **changes}))
        await refused(app)
    assert line in told(caplog)
    assert "secret" not in caplog.text


async def test_an_app_that_says_nothing_is_one_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        assert "in time" in await refused(await http.ws_connect(f"{it.url}/app-ws"))
    assert "no tpa_connection_init came in time" in told(caplog)


@pytest.mark.parametrize("path", ["/glasses-ws", "/app-ws"])
async def test_a_refused_token_is_one_line_of_the_log_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    headers = token("alice", secret="k" * 32)
    async with (
        server(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.get(it.url + path, headers=headers) as answer,
    ):
        assert answer.status == 401
    assert "connection refused: unknown, from 127.0.0.1: the token is not valid" in told(caplog)
    assert headers["Authorization"].split()[1] not in caplog.text


async def test_too_many_is_one_line_of_the_log_with_the_user_as_the_settings_say(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = f"{LIMITED}\nprivacy: {{logs: hashed}}"
    async with server(tmp_path, settings=settings) as it, aiohttp.ClientSession() as http:
        _apps = await all_apps(http, it.url)
        glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=token("alice"))
        await refused(glasses, 1013)
    name = Pseudonyms(SECRETS.hash_key)("alice")
    assert told(caplog).startswith(f"[User: {name}] Glasses connection refused: ")
    assert "alice" not in caplog.text
