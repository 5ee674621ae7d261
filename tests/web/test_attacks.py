"""What a stranger tries: without a token nothing is answered, and nobody with a token is kept out."""

import asyncio
import threading
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from shim.aio import Shim
from shim.console.api.filters import SessionsQuery
from shim.console.connection_lists import ConnectionLists
from shim.console.listener import listen, serve_app, url_of
from shim.flags.targeting import everyone_at
from shim.ledger.protocols import UnusableError
from shim.ledger.queries.sql_reader import SqlReader
from shim.ledger.time_limit import time_limit
from shim.model import Stage
from tests.live.servers import QUICK
from tests.waiting import until
from tests.web.servers import OPERATOR, SECRETS, VIEWER, Server, console

pytestmark = pytest.mark.real

OPEN = f"{QUICK}\nconsole: {{open_on_loopback: true}}"
BEARER = f"Authorization: Bearer {SECRETS.operator_token}".encode()


async def said(url: str, request: bytes) -> bytes:
    """Everything that is answered to these very bytes."""
    host, port = url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def assert_nothing_told(answer: bytes, request: bytes) -> None:
    status = answer.split(b" ", 2)[1:2]
    assert status in ([b"401"], [b"303"], [b"400"], [b"404"], [b"405"]), (request, answer)
    for word in (b"agreement", b"shim_connections", b'"openapi"', b"Set-Cookie"):
        assert word not in answer, request


TARGETS = (
    b"GET /api/report HTTP/1.0\r\n\r\n",
    b"GET /api/report HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"GET http://localhost/api/report HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET http://localhost/metrics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    b"HEAD /api/report HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"OPTIONS /api/report HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    *(
        b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for path in (
            b"/healthz/../api/report",
            b"/static/../api/report",
            b"/static/..%2fapi%2freport",
            b"/login/../metrics",
            b"//api/report",
            b"/./api/report",
            b"/%61pi/report",
            b"/api/report/",
            b"/api/report;/healthz",
            b"/api/report?/healthz",
            b"/api/report%00",
            b"/healthz%2f..%2fapi%2freport",
        )
    ),
)


async def test_no_form_of_a_request_is_answered_without_a_token(tmp_path: Path) -> None:
    async with console(tmp_path) as it:
        for request in TARGETS:
            assert_nothing_told(await said(it.url, request), request)


NOT_LOCAL = (
    b"Host: localhost\r\nX-Forwarded-For: 203.0.113.7\r\n",
    b"Host: localhost\r\nx-forwarded-for: 127.0.0.1\r\n",
    b"Host: localhost\r\nX-Forwarded-For: \r\n",
    b"Host: localhost\r\nX-Forwarded-Anything: 1\r\n",
    b"Host: evil.example\r\nX-Forwarded-Host: localhost\r\n",
    b"Host: localhost.\r\n",
    b"Host: localhost:80:80\r\n",
    b"Host: localhost@evil.example\r\n",
    b"Host: user@localhost\r\n",
    b"Host: 127.1\r\n",
    b"Host: 2130706433\r\n",
    b"Host: [::ffff:127.0.0.1]\r\n",
    b"Host: evil.example\r\nHost: localhost\r\n",
    b"Host: localhost\r\nHost: evil.example\r\n",
    b"Host: local\xe2\x93\x97ost\r\n",
)


async def test_what_is_not_local_where_the_setting_opens_loopback(tmp_path: Path) -> None:
    async with console(tmp_path, settings=OPEN) as it:
        for headers in NOT_LOCAL:
            request = b"GET /api/report HTTP/1.1\r\n" + headers + b"Connection: close\r\n\r\n"
            assert_nothing_told(await said(it.url, request), request)


async def test_the_address_of_a_service_meshs_proxy_is_not_this_machine(tmp_path: Path) -> None:
    """Istio's passes everybody's requests on from 127.0.0.6."""
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.6", 0))
    async with (
        console(tmp_path, settings=OPEN) as it,
        aiohttp.ClientSession(connector=connector) as http,
        aiohttp.ClientSession() as local,
    ):
        assert await _status(http, f"{it.url}/api/report", {}) == 401
        assert await _status(local, f"{it.url}/api/report", {}) == 200


async def test_ipv6_and_unix_sockets(tmp_path: Path) -> None:
    (tmp_path / "shim.yaml").write_text(
        f"{OPEN}\nrollout: null\nledger: sqlite:///{tmp_path}/shim.db\n"
    )
    shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS, targeting=everyone_at(Stage.SHADOW))
    socket = str(tmp_path / "socket")
    with closing(listen("::1", 0)) as listener:
        url = url_of(listener)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(shim.running())
            await stack.enter_async_context(serve_app(shim.console(), listener.dup(), 1))
            runner = web.AppRunner(shim.console())
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.UnixSite(runner, socket).start()
            http = await stack.enter_async_context(aiohttp.ClientSession())
            by_socket = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket))
            )
            async with http.get(f"{url}/api/report") as answer:
                assert answer.status == 200
            async with http.get(f"{url}/api/report", headers={"X-Forwarded-For": "::1"}) as answer:
                assert answer.status == 401
            # Who is at the other end of a Unix socket cannot be known: a proxy, for one.
            async with by_socket.get("http://localhost/api/report") as answer:
                assert answer.status == 401
            async with by_socket.get("http://localhost/api/report", headers=OPERATOR) as answer:
                assert answer.status == 200


CREDENTIALS = (
    (BEARER, b"200"),
    (BEARER.replace(b"Bearer ", b"bearer  ") + b"  ", b"200"),
    (b"Authorization: Basic YTpi\r\n" + BEARER, b"200"),
    (BEARER + b"\r\nAuthorization: Bearer wrong", b"200"),
    (b"Authorization: Bearer wrong\r\n" + BEARER, b"401"),
    (b"Authorization: Bearer \xff\xfe\x00", b"400"),
    (b"Authorization: Bearer \xff\xfe", b"401"),
    (b"Authorization: Bearer", b"401"),
    (b"Authorization : Bearer x", b"400"),
    (b"Cookie: shim_session=", b"401"),
    (b"Cookie: shim_session=a; shim_session=b; shim_session", b"401"),
    (b"Cookie: shim_session=" + b"a" * 7000, b"401"),
)


async def test_odd_credentials(tmp_path: Path) -> None:
    begun = b"GET /api/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    async with console(tmp_path) as it:
        for headers, status in CREDENTIALS:
            answer = await said(it.url, begun + headers + b"\r\n\r\n")
            assert answer.split(b" ", 2)[1] == status, headers


async def test_nobody_fixes_the_cookie_of_a_later_login(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        form, known = {"token": SECRETS.operator_token}, {"Cookie": "shim_session=known"}
        async with http.post(
            f"{it.url}/login", data=form, headers=known, allow_redirects=False
        ) as answer:
            assert answer.status == 303
            assert answer.cookies["shim_session"].value != "known"
        async with http.get(f"{it.url}/api/report", headers=known) as answer:
            assert answer.status == 401


async def test_addresses_of_trusted_proxies_are_not_forged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what the last trusted proxy saw counts: the visitor may have written the rest."""
    async with console(tmp_path, trusted="127.0.0.0/8, '2001:db8::/32'") as it:
        for header, address in (
            (b"X-Forwarded-For: 198.51.100.1, 203.0.113.7", "203.0.113.7"),
            (b"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.8", "203.0.113.8"),
            (b"X-Forwarded-For: 203.0.113.9, 2001:db8::7, 127.0.0.2", "203.0.113.9"),
            (b"X-Forwarded-For: 203.0.113.10:4711", "203.0.113.10"),
            (b"X-Forwarded-For: [2001:db9::1]:4711", "2001:db9::1"),
            (b"X-Forwarded-For: 198.51.100.1, unknown", "127.0.0.1"),
            (b"X-Forwarded-For: 198.51.100.1, ", "127.0.0.1"),
            (b"X-Forwarded-For: a\x85b", "127.0.0.1"),
            (b"Forwarded: for=198.51.100.1", "127.0.0.1"),
            (b"X-Real-IP: 198.51.100.1", "127.0.0.1"),
        ):
            await said(
                it.url,
                b"GET /api/report HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Authorization: Bearer wrong\r\n" + header + b"\r\n\r\n",
            )
            told = [record.getMessage() for record in caplog.records]
            assert told[-1] == f"audit: wrong token from {address}", (header, told)


async def test_wrong_tokens_of_changing_addresses_are_slowed(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for number, status in enumerate([401] * 5 + [429] * 3):
            headers = {
                "Authorization": "Bearer wrong",
                "X-Forwarded-For": f"203.0.113.{number}",
                "X-Real-IP": f"203.0.113.{number}",
            }
            async with http.get(f"{it.url}/api/report", headers=headers) as answer:
                assert answer.status == status


async def test_streams_of_viewers_shut_no_operator_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shim.console.pages.event_stream._MOST", 2)
    async with console(tmp_path) as it, AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for headers, status in ((VIEWER, 200), (VIEWER, 200), (VIEWER, 503), (OPERATOR, 200)):
            answer = await stack.enter_async_context(http.get(f"{it.url}/live", headers=headers))
            assert answer.status == status


async def test_slow_questions_of_viewers_delay_no_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, asked = threading.Event(), threading.Semaphore(0)
    outcomes = SqlReader.outcomes

    def slow(self: SqlReader, **query: Any) -> Any:
        if query.get("user") == "slow":
            asked.release()
            assert go_on.wait(30)
        return outcomes(self, **query)

    monkeypatch.setattr(SqlReader, "outcomes", slow)
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        url = f"{it.url}/api/outcomes?user=slow"
        questions = [asyncio.create_task(_status(http, url, VIEWER)) for _ in range(20)]
        try:
            assert await asyncio.to_thread(asked.acquire, timeout=10)
            for path in ("/", "/brake", "/api/brake", "/api/gate", "/api/verdicts", "/metrics"):
                assert await _status(http, it.url + path, OPERATOR) == 200, path
            order = {"engaged": True, "reason": "an emergency"}
            async with http.post(f"{it.url}/api/brake", json=order, headers=OPERATOR) as answer:
                assert answer.status == 200
                assert (await answer.json())["history"] is not None
        finally:
            go_on.set()
        assert set(await asyncio.gather(*questions)) == {200}


async def test_slow_lists_of_viewers_delay_no_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, asked = asyncio.Event(), 0
    sessions = ConnectionLists.sessions

    async def slow(self: ConnectionLists, query: SessionsQuery) -> Any:
        nonlocal asked
        if query.user == "slow":
            asked += 1
            await go_on.wait()
        return await sessions(self, query)

    monkeypatch.setattr(ConnectionLists, "sessions", slow)
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        urls = [f"{it.url}{path}?user=slow" for path in ("/api/sessions", "/sessions")] * 10
        questions = [asyncio.create_task(_status(http, url, VIEWER)) for url in urls]
        await until(lambda: asked >= 8)
        for path in ("/", "/sessions", "/api/sessions", "/brake", "/api/report"):
            assert await _status(http, it.url + path, OPERATOR) == 200, path
        assert asked == 8
        go_on.set()
        assert set(await asyncio.gather(*questions)) == {200}
        assert asked == 20


async def _status(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with http.get(url, headers=headers) as answer:
        return answer.status


async def test_a_question_ends_after_its_time(tmp_path: Path) -> None:
    endless = (
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    )
    async with console(tmp_path) as it:
        reader = it.shim.assembly.reader
        assert isinstance(reader, SqlReader)

        def ask() -> None:
            with time_limit(0.1):
                reader.ask(endless)

        with pytest.raises(UnusableError, match="takes too long"):
            await asyncio.to_thread(ask)


async def test_many_who_ask_for_the_gate_share_an_answer(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        assembly = it.shim.assembly
        judged = 0
        judge_gate = type(assembly).judge_gate

        def count(self: Any, *arguments: Any) -> Any:
            nonlocal judged
            judged += 1
            return judge_gate(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(assembly), "judge_gate", count)
            found = await asyncio.gather(
                *(_status(http, f"{it.url}/api/gate", VIEWER) for _ in range(30))
            )
        assert set(found) == {200}
        assert 1 <= judged < 30


async def test_slow_logins_keep_nobody_out(tmp_path: Path) -> None:
    begun = (
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
    )
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        host, port = it.url.removeprefix("http://").split(":")
        writers = []
        for _ in range(200):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(begun)
            writers.append(writer)
        assert await _brake(http, it) == 200
        await until(lambda: it.shim.router.brake_reason is not None)
        for writer in writers:
            writer.close()


async def _brake(http: aiohttp.ClientSession, it: Server) -> int:
    order = {"engaged": True, "reason": "an emergency"}
    async with http.post(f"{it.url}/api/brake", json=order, headers=OPERATOR) as answer:
        return answer.status
