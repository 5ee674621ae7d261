"""Who is let in: the ids and credentials that clients bring."""

import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from tests.live.door_clients import APP, INIT, PACKAGE, UNFIT, raw, refused, untouched
from tests.live.servers import QUICK, SECRETS, app_client, server, token

pytestmark = pytest.mark.real


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
