"""Who is let in: the ids and credentials that clients bring, and how many of them there may be."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from shim.runtime.pseudonyms import Pseudonyms
from tests.live.servers import QUICK, SECRETS, Server, app_client, server, token
from tests.waiting import until

pytestmark = pytest.mark.real

PACKAGE = "com.example.app1"
INIT: dict[str, Any] = {
    "type": "tpa_connection_init",
    "sessionId": f"u-{PACKAGE}",
    "packageName": PACKAGE,
    "apiKey": "dev",
}
APP = {"packageName": PACKAGE, "apiKey": "dev"}
UNFIT = [
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "u\ud800",
    "  ",
    "\t",
    "x" * 257,
    7,
    None,
]


def untouched(it: Server) -> bool:
    """Nothing of a client that was refused has reached the monitors."""
    return not it.shim.sessions and not it.tally.failures


async def refused(websocket: aiohttp.ClientWebSocketResponse, code: int = 1008) -> str:
    """Why this client was refused, as it is told itself."""
    answer = await websocket.receive_json(timeout=60)
    assert answer["type"] in ("tpa_connection_error", "connection_error"), answer
    closed = await websocket.receive(timeout=60)
    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert closed.extra == answer["message"]
    return str(answer["message"])


async def raw(url: str, path: str, headers: dict[str, bytes], until: bytes) -> bytes:
    """What is answered to a handshake whose headers are these very bytes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade".encode(),
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(name.encode() + b": " + value for name, value in headers.items()),
    ]
    writer.write(b"\r\n".join([*lines, b"", b""]))
    try:
        async with asyncio.timeout(5):
            answer = await reader.readuntil(until)
    finally:
        writer.close()
    return answer


# -- Tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", UNFIT)
async def test_glasses_need_an_email_that_can_be_an_id(tmp_path: Path, email: Any) -> None:
    headers = token(email)
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        async with http.get(f"{it.url}/glasses-ws", headers=headers) as answer:
            assert answer.status == 401
            assert "the token's email" in (await answer.json())["message"]
        assert untouched(it)


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
@pytest.mark.parametrize("path", ["/glasses-ws", "/app-ws"])
async def test_tokens_are_signed_with_hs256_alone(
    tmp_path: Path, path: str, algorithm: str
) -> None:
    key = None if algorithm == "none" else SECRETS.jwt_secret * 2  # as long as HS512 wants
    encoded = jwt.encode({"email": "alice", **APP}, key, algorithm)
    secrets = {"Authorization": f"Bearer {encoded}", "x-user-id": "u", "x-session-id": "u"}
    async with (
        server(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.get(it.url + path, headers=secrets) as answer,
    ):
        assert answer.status == 401


@pytest.mark.parametrize("path", ["/glasses-ws", "/app-ws"])
async def test_a_token_that_is_no_text_is_401(tmp_path: Path, path: str) -> None:
    async with server(tmp_path) as it:
        head = await raw(it.url, path, {"Authorization": b"Bearer \xff\xfe.x.y"}, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
        assert b"application/json" in head


async def test_a_signed_token_of_odd_json_is_401(tmp_path: Path) -> None:
    """PyJWT before 2.15 raised something else than its own errors here."""
    bodies = [b'{"email": "a", "exp": null}', b'{"email": "a", "nbf": 1e999}', b"[" * 3000]
    odd = [jwt.api_jws.encode(body, SECRETS.jwt_secret, "HS256") for body in bodies]
    async with server(tmp_path) as it:
        for encoded in odd:
            headers = {"Authorization": b"Bearer " + encoded.encode()}
            head = await raw(it.url, "/glasses-ws", headers, b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 401 ")


def seconds_from_now(offset: float) -> float:
    return time.time() + offset


GOOD: dict[str, dict[str, Any]] = {
    "issued two seconds ahead": {"iat": 2},
    "issued by a clock that is 25 s fast": {"iat": 25, "nbf": 25, "exp": 3600},
    "issued by a clock that is 25 s slow": {"iat": -3625, "nbf": -3625, "exp": -25},
    "for others, too": {"aud": "https://other.example", "iss": 7},
    "for several": {"aud": ["a", "b"], "iss": ["x"]},
    "with numbers as names": {"sub": 4711, "jti": 12, "aud": 3},
    "with odd names": {"sub": None, "jti": {"a": 1}, "aud": {}, "iss": None},
    "with a key's name in the head": {"kid": "a"},
}
BAD: dict[str, dict[str, Any]] = {
    "expired": {"exp": -35},
    "not valid yet": {"nbf": 35},
    "issued tomorrow": {"iat": 86_400},
}
TIMES = ("iat", "nbf", "exp")


def dated(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims, with times that are given in seconds from now."""
    return {
        name: seconds_from_now(value) if name in TIMES else value for name, value in claims.items()
    }


def unchecked(claims: dict[str, Any]) -> dict[str, str]:
    """A signed token; `jwt.encode` would not sign odd claims."""
    body = json.dumps({"email": "alice", **dated(claims)}).encode()
    encoded = jwt.api_jws.encode(body, SECRETS.jwt_secret, "HS256", headers={"kid": "7"})
    return {"Authorization": f"Bearer {encoded}"}


async def test_a_good_token_is_good_whatever_others_want_of_it(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        for name, claims in GOOD.items():
            glasses = await http.ws_connect(f"{it.url}/glasses-ws", headers=unchecked(claims))
            assert (await glasses.receive_json())["type"] == "connection_ack", name
            await glasses.close()


@pytest.mark.parametrize("claims", BAD.values(), ids=BAD)
async def test_a_tokens_times_count_to_half_a_minute(
    tmp_path: Path, claims: dict[str, Any]
) -> None:
    async with (
        server(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.get(f"{it.url}/glasses-ws", headers=unchecked(claims)) as answer,
    ):
        assert answer.status == 401


async def test_the_leeway_is_a_setting(tmp_path: Path) -> None:
    strict = QUICK.replace("server: {", "server: {token_leeway: 0s, ")
    patient = QUICK.replace("server: {", "server: {token_leeway: 2d, ")
    for settings, status in ((strict, 401), (patient, 426)):
        async with server(tmp_path, settings=settings) as it, aiohttp.ClientSession() as http:
            for claims in ({"iat": 20}, {"nbf": 20}, {"exp": -2}):
                async with http.get(f"{it.url}/glasses-ws", headers=unchecked(claims)) as answer:
                    assert answer.status == status, claims


async def test_another_scheme_than_bearer_is_as_if_absent(tmp_path: Path) -> None:
    """A proxy in front of the service may have a login of its own."""
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "alice", headers={"Authorization": "Basic YTpi"})
        assert set(it.shim.sessions) == {"alice"}
        await app.close()


# -- Apps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sessionId", "packageName"])
@pytest.mark.parametrize("value", UNFIT)
async def test_apps_need_ids_that_can_be_ids(tmp_path: Path, key: str, value: Any) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        await app.send_str(json.dumps({**INIT, key: value}))
        assert key in await refused(app)
        assert untouched(it)


async def test_the_longest_ids_are_taken(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        await app_client(http, it.url, "é" * 256, "p" * 256)
        assert set(it.shim.sessions) == {"é" * 256}


async def test_a_session_is_somebodys(tmp_path: Path) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        await app.send_str(json.dumps({**INIT, "sessionId": f"-{PACKAGE}"}))
        assert await refused(app) == "sessionId is missing"


@pytest.mark.parametrize("key", ["\ud800", "dev\ud800", "", 7])
async def test_an_api_key_may_be_any_text_and_wrong(tmp_path: Path, key: Any) -> None:
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws")
        await app.send_str(json.dumps({**INIT, "apiKey": key}))
        assert "key" in (await refused(app)).lower()


@pytest.mark.parametrize("user", ["eve@example.com", "bob@example.co"])
async def test_the_headers_of_an_app_agree_on_the_user(tmp_path: Path, user: str) -> None:
    ids = {"x-user-id": user, "x-session-id": f"bob@example.com-{PACKAGE}"}
    async with server(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await http.ws_connect(f"{it.url}/app-ws", headers={**token("x", **APP), **ids})
        assert await refused(app) == "sessionId does not belong to the user"
        assert untouched(it)


@pytest.mark.parametrize("session", [b"u\xff", b"u\xff-com.example.app1"])
async def test_headers_that_are_no_utf_8(tmp_path: Path, session: bytes) -> None:
    headers = {
        "Authorization": token("x", **APP)["Authorization"].encode(),
        "x-user-id": b"u\xff",
        "x-session-id": session,
    }
    async with server(tmp_path) as it:
        answer = await raw(it.url, "/app-ws", headers, b"\x03\xf0")  # 1008
        assert b"tpa_connection_error" in answer
        assert untouched(it)


# -- How many --------------------------------------------------------------------------------------

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


# -- What operators see of it ----------------------------------------------------------------------


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
