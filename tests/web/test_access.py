"""Who may see and change what; and what becomes of those who may not."""

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.console import ledger_queries
from shim.ledger.time_limit import time_left
from shim.model import Stage
from shim.runtime.pseudonyms import Pseudonyms
from tests.live.servers import QUICK, app_client
from tests.waiting import until
from tests.web.servers import OPERATOR, SECRETS, VIEWER, Server, console
from tests.web.visits import READABLE, log_in

pytestmark = pytest.mark.real
FOREIGN = {"Host": "evil.example"}
BRAKE = {"engaged": True, "reason": "too many false kills"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        FOREIGN,
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"Cookie": "shim_session=forged"},
    ],
    ids=["on loopback", "foreign host", "said to be local", "forged cookie"],
)
async def test_nothing_without_a_token(tmp_path: Path, headers: dict[str, str]) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for path in READABLE:
            async with http.get(it.url + path, headers=headers, allow_redirects=False) as answer:
                if path.startswith("/api") or path == "/metrics":
                    assert answer.status == 401, path
                    assert answer.content_type == "application/problem+json"
                    assert (await answer.json())["status"] == 401
                elif path == "/live":
                    assert answer.status == 401
                else:
                    assert answer.status == 303, path
                    assert answer.headers["Location"].startswith("/login?next=")


async def test_the_token_opens_everything_from_anywhere(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for path in set(READABLE) - {"/live", "/api/gate", "/api/flags"}:
            async with http.get(it.url + path, headers={**FOREIGN, **OPERATOR}) as answer:
                assert answer.status == 200, path


OPEN = f"{QUICK}\nconsole: {{open_on_loopback: true}}"


async def test_a_wrong_token_is_refused_where_none_is_needed(tmp_path: Path) -> None:
    async with (
        console(tmp_path, settings=OPEN) as it,
        aiohttp.ClientSession() as http,
        http.get(f"{it.url}/api/report", headers={"Authorization": "Bearer wrong"}) as answer,
    ):
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("scheme", ["Basic b3BlcmF0b3I=", "Digest x", "Negotiate", "Bearer", ""])
async def test_other_schemes_are_as_if_absent(tmp_path: Path, scheme: str) -> None:
    """A proxy's own login is not the shim's, and no attempt at a token."""
    jar = aiohttp.CookieJar(unsafe=True)
    other = {"Authorization": scheme}
    async with console(tmp_path) as it, aiohttp.ClientSession(cookie_jar=jar) as http:
        for _ in range(7):
            async with http.get(f"{it.url}/api/report", headers=other) as answer:
                assert answer.status == 401
        async with await log_in(http, it, SECRETS.operator_token, **other) as answer:
            assert answer.status == 303
        async with http.get(f"{it.url}/api/report", headers=other) as answer:
            assert answer.status == 200
        assert (await brake(http, it, other))[0] == 403  # no CSRF token


async def test_a_setting_opens_the_console_on_loopback(tmp_path: Path) -> None:
    async with console(tmp_path, settings=OPEN) as it, aiohttp.ClientSession() as http:
        async with http.get(f"{it.url}/api/report") as answer:
            assert answer.status == 200
        assert (await brake(http, it, {}))[0] == 401
        for proxied in (
            *({name: "203.0.113.7"} for name in PROXY_HEADERS),
            FOREIGN,
            {"Host": "localhost.evil.example"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": "[::1].evil.example"},
            {"Host": ""},
        ):
            async with http.get(f"{it.url}/api/report", headers=proxied) as answer:
                assert answer.status == 401, proxied


PROXY_HEADERS = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Real-IP",
    "CF-Connecting-IP",
    "CF-Ray",
    "True-Client-IP",
)


async def test_addresses_are_for_operators(tmp_path: Path) -> None:
    alice = "alice@example.com"
    hashed = Pseudonyms(SECRETS.hash_key)(alice)
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, alice)
        for headers, shown in ((VIEWER, hashed), (OPERATOR, alice)):
            for path, rows in (("connections", "connections"), ("sessions", "sessions")):
                async with http.get(f"{it.url}/api/{path}", headers=headers) as answer:
                    (row,) = (await answer.json())[rows]
                assert (row["user"], row["session"]) == (shown, shown)
            async with http.get(f"{it.url}/connections", headers=headers) as answer:
                page = await answer.text()
            assert shown in page
            assert (alice in page) == (headers is OPERATOR)
        # What a pseudonym leads to is found, and what was asked for by its name has it.
        for asked in (hashed, alice):
            query = f"{it.url}/api/connections?user={asked}"
            async with http.get(query, headers=VIEWER) as answer:
                (row,) = (await answer.json())["connections"]
            assert row["user"] == asked
            async with http.get(f"{it.url}/api/sessions/{asked}", headers=VIEWER) as answer:
                session = await answer.json()
            assert session["session"]["user"] == asked
            explain = f"{it.url}/api/flags/explain?user={asked}"
            async with http.get(explain, headers=VIEWER) as answer:
                explained = await answer.json()
            assert explained["user"] == asked
            assert explained["words"].startswith(f"{asked} is at shadow.")
        await app.close()


async def brake(
    http: aiohttp.ClientSession, it: Server, headers: dict[str, str], body: Any = BRAKE
) -> tuple[int, Any]:
    async with http.post(f"{it.url}/api/brake", json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_only_operators_change_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shim")
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "alice@example.com")
        (tracked,) = it.shim.router.connections()
        assert (await brake(http, it, {}))[0] == 401
        assert (await brake(http, it, VIEWER))[0] == 403
        assert (await brake(http, it, {"Authorization": "Bearer wrong"}))[0] == 401
        assert it.shim.router.brake_reason is None
        assert "audit: brake" not in caplog.text

        status, answer = await brake(http, it, OPERATOR)
        assert (status, answer["engaged"], answer["reason"]) == (200, True, BRAKE["reason"])
        await until(lambda: tracked.stage is Stage.SHADOW)
        assert "audit: brake engaged by operator token from 127.0.0.1: too many" in caplog.text
        assert (await brake(http, it, OPERATOR))[0] == 409
        status, answer = await brake(http, it, OPERATOR, {"engaged": False, "reason": "fixed"})
        assert (status, answer["engaged"]) == (200, False)
        assert "audit: brake released by operator token from 127.0.0.1: fixed" in caplog.text
        assert it.shim.assembly.records.ledger.flush(10)
        async with http.get(f"{it.url}/api/brake", headers=VIEWER) as found:
            history = (await found.json())["history"]
        assert [(event["engaged"], event["reason"]) for event in history] == [
            (False, "fixed"),
            (True, BRAKE["reason"]),
        ]
        assert SECRETS.operator_token not in caplog.text
        await app.close()


async def test_a_silent_ledger_holds_no_order_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer comes without the history, and the thread that asked ends by itself."""
    monkeypatch.setattr(ledger_queries, "_HISTORY_TAKES", 0.1)
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        left: list[float | None] = []
        may_end = threading.Event()

        def rows(row: Any) -> list[Any]:
            left.append(time_left())
            may_end.wait(30)
            return []

        monkeypatch.setattr(it.shim.assembly.reader, "rows", rows)
        status, answer = await brake(http, it, OPERATOR)
        may_end.set()
        assert (status, answer["engaged"], answer["history"]) == (200, True, None)
        assert left[0] is not None
        assert left[0] <= 0.1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"engaged": True}, 400),
        ({"engaged": True, "reason": ""}, 400),
        ({"engaged": True, "reason": "   "}, 400),
        ({"engaged": True, "reason": "x" * 501}, 400),
        ({"engaged": True, "reason": "two\nlines: audit: brake released"}, 400),
        ({"engaged": "yes", "reason": "because"}, 400),
        ({"engaged": True, "reason": "because", "force": True}, 400),
        ([], 400),
        ({"engaged": True, "reason": "x" * 20_000}, 413),
    ],
)
async def test_bad_orders_change_nothing(tmp_path: Path, body: Any, status: int) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        assert (await brake(http, it, OPERATOR, body))[0] == status
        assert it.shim.router.brake_reason is None


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 10_000, "application/json", 400),
        (b"engaged=yes&reason=because", "application/x-www-form-urlencoded", 415),
        (b'{"engaged": true, "reason": "because"}', "text/plain", 415),
    ],
)
async def test_bodies_that_are_no_orders(
    tmp_path: Path, data: bytes, content_type: str, status: int
) -> None:
    headers = {**OPERATOR, "Content-Type": content_type}
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        http.post(f"{it.url}/api/brake", data=data, headers=headers) as answer,
    ):
        assert answer.status == status
        assert answer.content_type == "application/problem+json"


async def test_pages_may_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for path in ("/", "/login", "/verdicts", "/verdicts?no=such", "/static/console.js"):
            async with http.get(it.url + path) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                page = await answer.text()
            assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in page
            assert " style=" not in page
            assert "<script>" not in page


async def test_a_stream_ends_with_the_server(tmp_path: Path) -> None:
    async with aiohttp.ClientSession() as http:
        async with console(tmp_path) as it:
            answer = await http.get(f"{it.url}/live", headers=VIEWER)
            assert answer.content_type == "text/event-stream"
            assert await answer.content.readline() == b"retry: 3000\n"
        async with asyncio.timeout(60):
            await answer.read()


async def test_the_console_may_have_a_listener_of_its_own(tmp_path: Path) -> None:
    async with console(tmp_path, apart=True) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "alice@example.com")
        for path in ("/", "/api/report", "/brake", "/metrics", "/login"):
            async with http.get(it.url + path) as answer:
                assert answer.status == 404, path
            async with http.get(it.admin + path, headers=VIEWER) as answer:
                assert answer.status == 200, path
        async with http.get(f"{it.admin}/app-ws") as answer:
            assert answer.status == 404
        async with http.get(f"{it.admin}/api/connections", headers=VIEWER) as answer:
            assert len((await answer.json())["connections"]) == 1
        await app.close()
