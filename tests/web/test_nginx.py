"""The console and the WebSockets behind a real nginx: as documented, and as nobody should do it."""

import logging
import re
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shim.model import Stage
from tests.live.servers import QUICK, app_client
from tests.telemetry.collectors import unused_port
from tests.waiting import until
from tests.web.nginx import careless, documented, nginx
from tests.web.servers import OPERATOR, SECRETS, console
from tests.web.visits import READABLE, csrf_of

pytestmark = pytest.mark.real


async def test_the_documented_configuration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shim")
    port = unused_port()
    settings = f"{QUICK}\nrollout: null\n"
    jar = aiohttp.CookieJar(unsafe=True)
    base = f"https://127.0.0.1:{port}"
    ops = {"Host": f"ops.example.com:{port}", "X-Forwarded-For": "198.51.100.9"}
    forged = {**ops, "X-Forwarded-Prefix": "/evil", "X-Forwarded-Proto": "http"}
    async with (
        console(tmp_path, Stage.LIVE, settings, apart=True, trusted="127.0.0.1") as it,
        nginx(tmp_path, documented(tmp_path, port, it.url, it.admin), port),
        aiohttp.ClientSession(cookie_jar=jar, connector=aiohttp.TCPConnector(ssl=False)) as http,
    ):
        # A page leads to the login, and from there back to itself.
        async with http.get(
            f"{base}/shim/verdicts", headers=forged, allow_redirects=False
        ) as answer:
            assert answer.headers["Location"] == "/shim/login?next=%2Fshim%2Fverdicts"
        form = {"token": SECRETS.operator_token, "next": "/shim/brake"}
        origin = {"Origin": f"https://ops.example.com:{port}"}
        async with http.post(
            f"{base}/shim/login", data=form, headers={**forged, **origin}, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/shim/brake")
            cookie = SimpleCookie(answer.headers["Set-Cookie"])["shim_session"]
        assert (cookie["path"], bool(cookie["secure"])) == ("/shim", True)
        # The log has the address that nginx saw, not what the visitor wrote.
        assert re.search(r"operator login \w+ opened from 127\.0\.0\.1", caplog.text)
        assert "198.51.100.9" not in caplog.text

        async with http.get(f"{base}/shim/brake", headers=ops) as answer:
            page = await answer.text()
        assert set(re.findall(r'(?:href|action|src)="(/[^"/]+)/', page)) == {"/shim"}
        order = {"engaged": "yes", "reason": "a test", "csrf": csrf_of(page)}
        elsewhere = {**ops, "Origin": "https://evil.example"}
        async with http.post(f"{base}/shim/brake", data=order, headers=elsewhere) as answer:
            assert answer.status == 403
        async with http.post(
            f"{base}/shim/brake", data=order, headers={**ops, **origin}, allow_redirects=False
        ) as answer:
            assert answer.status == 303
        assert it.shim.router.brake_reason == "a test"
        # Events come as they happen: nginx keeps none back.
        async with http.get(f"{base}/shim/live", headers=ops) as stream:
            assert await stream.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
            assert (await stream.content.readuntil(b"\n\n")).startswith(b"event: parts")

        # The public name has the WebSockets alone.
        public: Any = {"headers": {"Host": f"sockets.example.com:{port}"}}
        for path in ("/", "/shim/", "/api/report", "/metrics", "/glasses-ws/../api/report"):
            async with http.get(base + path, **public) as answer:
                assert answer.status == 404, path
        app = await app_client(http, base, "alice", **public)
        await until(lambda: len(it.shim.sessions) == 1)
        await app.close()


async def test_a_careless_proxy_opens_nothing(tmp_path: Path) -> None:
    """Every request comes from loopback, and says of itself what it likes."""
    port = unused_port()
    async with (
        console(tmp_path) as it,
        nginx(tmp_path, careless(port, it.url), port),
        aiohttp.ClientSession() as http,
    ):
        for base, visitor in (
            ("", {}),
            ("", {"Host": "localhost"}),
            ("", {"Host": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"}),
            ("", {"Host": "[::1]", "Authorization": "Basic b3BlcmF0b3I6"}),
            ("/plain", {}),
        ):
            for path in READABLE:
                address = f"http://127.0.0.1:{port}{base}{path}"
                async with http.get(address, headers=visitor, allow_redirects=False) as answer:
                    assert answer.status in (401, 303), (path, visitor)
                    assert "login" in answer.headers.get("Location", "/login")
                    assert "shim_" not in await answer.text()
            async with http.get(f"http://127.0.0.1:{port}{base}/healthz") as answer:
                assert answer.status == 200
        async with http.get(f"http://127.0.0.1:{port}/api/report", headers=OPERATOR) as answer:
            assert answer.status == 200
