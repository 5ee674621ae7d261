"""The reference server over real sockets: the handshakes, bad input, duplicates, shutdown."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.model import Stage, VerdictName
from tests.live.servers import OPERATOR, PATIENT, app_client, server, token
from tests.waiting import until

pytestmark = pytest.mark.real


async def test_glasses_are_acknowledged_and_share_the_session_with_apps(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=token("alice@example.com"))
        assert (await glasses.receive_json())["type"] == "connection_ack"
        app = await app_client(http, it.url, "alice@example.com")
        (session,) = it.shim.sessions.values()
        assert session.glasses_connection is not None
        assert set(session.app_connections) == {"com.example.app1"}
        async with http.get(
            f"{it.url}/api/connections?user=alice@example.com&kind=app", headers=OPERATOR
        ) as answer:
            (row,) = (await answer.json())["connections"]
        assert row["package"] == "com.example.app1"
        assert row["watched_by"] == ["control", "candidate"]
        assert row["acting"] == "control"
        await app.close()
        await glasses.close()
        await until(lambda: not it.shim.sessions)
        assert it.connections() == 0


async def test_an_app_may_authenticate_in_its_headers(tmp_path: Path) -> None:
    headers = {
        **token("x", packageName="com.example.app1", apiKey="dev"),
        "x-user-id": "bob@example.com",
        "x-session-id": "bob@example.com-com.example.app1",
    }
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws", headers=headers)
        assert (await app.receive_json())["type"] == "tpa_connection_ack"
        assert set(it.shim.sessions) == {"bob@example.com"}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer x"}, token("a", "k" * 32), token("")]
)
async def test_no_or_wrong_token_is_401_in_json(tmp_path: Path, headers: dict[str, str]) -> None:
    async with (
        server(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.get(f"{it.url}/glasses-ws", headers=headers) as answer,
    ):
        assert answer.status == 401
        assert (await answer.json())["error"] == "unauthorized"


INIT: dict[str, Any] = {
    "type": "tpa_connection_init",
    "sessionId": "u-com.example.app1",
    "packageName": "com.example.app1",
    "apiKey": "dev",
}


@pytest.mark.parametrize(
    "first",
    [
        json.dumps({**INIT, "apiKey": "wrong"}),
        json.dumps({**INIT, "packageName": 7}),
        json.dumps({**INIT, "sessionId": ""}),
        json.dumps({**INIT, "type": "hello"}),
        "not json",
        "[1]",
        b"binary",
    ],
)
async def test_a_bad_init_is_an_error_and_1008(tmp_path: Path, first: str | bytes) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        await (app.send_bytes(first) if isinstance(first, bytes) else app.send_str(first))
        assert (await app.receive_json())["type"] == "tpa_connection_error"
        message = await app.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == 1008


async def test_an_app_that_says_nothing_is_refused_in_time(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        assert (await app.receive_json(timeout=60))["type"] == "tpa_connection_error"


async def test_odd_messages_are_answered_and_the_connection_stays(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "u")
        for odd in ("{", '{"type": "no such"}', json.dumps(INIT), "[]", '{"type": 3}'):
            await app.send_str(odd)
            assert (await app.receive_json())["type"] == "error"
        await app.send_bytes(b"\x00")
        assert (await app.receive_json())["code"] == "INVALID_MESSAGE"
        await app.send_str('{"type": "ping"}')
        assert (await app.receive_json())["type"] == "pong"


async def test_an_oversize_message_closes_with_1009(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "u")
        await app.send_str("x" * 2_000_000)
        assert (await app.receive()).data == 1009
        await until(lambda: not it.shim.sessions)


async def test_the_newer_connection_of_an_identity_wins(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        older = await app_client(http, it.url, "u")
        newer = await app_client(http, it.url, "u")
        closed = await older.receive()
        assert (closed.data, closed.extra) == (1000, "replaced by a newer connection")
        await until(lambda: it.connections() == 1)
        (session,) = it.shim.sessions.values()
        assert session.app_connections["com.example.app1"].websocket.close_sent is None
        await newer.send_str('{"type": "ping"}')
        assert (await newer.receive_json())["type"] == "pong"


async def test_r2_newer_glasses_stay_the_sessions_own(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        older, newer = [
            await http.ws_connect(f"{it.url}/glasses-ws", headers=token("u")) for _ in range(2)
        ]
        while (closed := await older.receive()).type is not aiohttp.WSMsgType.CLOSE:
            pass
        assert (closed.data, closed.extra) == (1000, "replaced by a newer connection")
        await until(lambda: it.connections() == 1)
        (session,) = it.shim.sessions.values()
        await until(lambda: session.open == 1)
        assert session.glasses_connection is not None
        assert session.glasses_connection.websocket.close_sent is None
        await newer.send_str('{"type": "ping"}')
        assert (await newer.receive_json())["type"] == "connection_ack"
        assert (await newer.receive_json())["type"] == "pong"


async def test_an_older_connection_that_never_answers_is_gone_in_time(tmp_path: Path) -> None:
    async with server(tmp_path, settings=PATIENT) as it, aiohttp.ClientSession() as http:
        older = await app_client(http, it.url, "u")
        newer = await app_client(http, it.url, "u")
        (session,) = it.shim.sessions.values()
        await until(lambda: session.open == 1, timeout=8)  # aiohttp itself waits 10 s for a reply
        await newer.close()
        await older.close()


@pytest.mark.parametrize("stage", list(Stage))
async def test_a_silent_client_is_closed_as_its_stage_says(tmp_path: Path, stage: Stage) -> None:
    async with server(tmp_path, stage) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "u", autoping=False)
        while (message := await app.receive(timeout=60)).type is aiohttp.WSMsgType.PING:
            pass
        if stage >= Stage.LIVE:
            assert (message.data, message.extra) == (1001, "Connection timeout detected")
        else:
            assert app.close_code == 1006
        await until(lambda: not it.shim.sessions)
        await until(lambda: stage not in (1, 2) or it.tally.verdicts[VerdictName.MATCHED] == 1)


async def test_the_api_is_for_the_operator(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        for path in ("/api/report", "/api/connections"):
            async with http.get(it.url + path) as answer:
                assert answer.status == 401
            async with http.get(it.url + path, headers=OPERATOR) as answer:
                assert answer.status == 200
        async with http.get(f"{it.url}/api/connections?colour=red", headers=OPERATOR) as answer:
            assert answer.status == 400
        for path in ("/healthz", "/readyz"):
            async with http.get(it.url + path) as answer:
                assert answer.status == 200
