"""Logins by the form: what they open, how long they last, and how guessing is slowed down."""

import asyncio
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest

from shim.console.access.throttle import Throttle
from shim.model import SECOND
from tests.live.servers import QUICK
from tests.web.servers import OPERATOR, SECRETS, VIEWER, console
from tests.web.test_access import FOREIGN, brake
from tests.web.visits import csrf_of, log_in

pytestmark = pytest.mark.real


async def test_a_login_opens_what_its_token_does(tmp_path: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with console(tmp_path) as it, aiohttp.ClientSession(cookie_jar=jar) as http:
        async with await log_in(http, it, SECRETS.operator_token, "/brake") as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/brake")
            cookie = SimpleCookie(answer.headers["Set-Cookie"])["shim_session"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["secure"]
        assert SECRETS.operator_token not in cookie.value
        async with http.get(f"{it.url}/brake") as answer:
            csrf = csrf_of(await answer.text())

        form = {"engaged": "yes", "reason": "by hand", "csrf": csrf}
        for wrong, headers in (
            ({**form, "csrf": "wrong"}, {}),
            ({**form, "csrf": ""}, {}),
            (form, {"Origin": "https://evil.example"}),
            (form, {"Origin": "null"}),
        ):
            async with http.post(f"{it.url}/brake", data=wrong, headers=headers) as answer:
                assert answer.status == 403
        assert it.shim.router.brake_reason is None
        async with http.post(f"{it.url}/brake", data=form, headers={"Origin": it.url}) as answer:
            assert "Release the brake" in await answer.text()
        assert it.shim.router.brake_reason == "by hand"
        # A script has the same cookie, and needs the same proof.
        release = {"engaged": False, "reason": "by script"}
        assert (await brake(http, it, {}, release))[0] == 403
        assert (await brake(http, it, {"X-CSRF-Token": csrf}, release))[0] == 200

        async with http.post(f"{it.url}/logout", data={"csrf": "wrong"}) as answer:
            assert answer.status == 403
        old = {"Cookie": f"shim_session={cookie.value}", **FOREIGN}
        async with http.get(f"{it.url}/api/report", headers=old) as answer:
            assert answer.status == 200
        async with http.post(f"{it.url}/logout", data={"csrf": csrf}) as answer:
            assert answer.status == 200
        async with http.get(f"{it.url}/api/report", headers=old) as answer:
            assert answer.status == 401


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls_the_cookie_stays_there(tmp_path: Path, trusted: bool) -> None:
    proxied = {"X-Forwarded-Proto": "https"}
    settings = f"{QUICK}\nconsole: {{trusted_proxies: [127.0.0.1]}}" if trusted else QUICK
    async with (
        console(tmp_path, settings=settings) as it,
        aiohttp.ClientSession() as http,
        await log_in(http, it, SECRETS.operator_token, **proxied) as answer,
    ):
        cookie = SimpleCookie(answer.headers["Set-Cookie"])["shim_session"]
        assert bool(cookie["secure"]) is trusted


async def test_a_viewers_login_changes_nothing(tmp_path: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with console(tmp_path) as it, aiohttp.ClientSession(cookie_jar=jar) as http:
        async with await log_in(http, it, SECRETS.viewer_token) as answer:
            assert answer.status == 303
        async with http.get(f"{it.url}/brake") as answer:
            page = await answer.text()
        assert 'name="reason"' not in page
        form = {"engaged": "yes", "reason": "by hand", "csrf": csrf_of(page)}
        async with http.post(f"{it.url}/brake", data=form) as answer:
            assert answer.status == 403
        assert it.shim.router.brake_reason is None


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie: a=b",
        "",
    ],
)
async def test_a_login_leads_nowhere_else(tmp_path: Path, target: str) -> None:
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        await log_in(http, it, SECRETS.operator_token, target) as answer,
    ):
        assert (answer.status, answer.headers["Location"]) == (303, "/")


async def test_a_login_form_of_another_site_is_refused(tmp_path: Path) -> None:
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        await log_in(http, it, SECRETS.operator_token, Origin="https://evil.example") as answer,
    ):
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers


async def test_guessing_is_slowed_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for _ in range(5):
            async with await log_in(http, it, "guess-of-mine") as answer:
                assert answer.status == 401
        async with await log_in(http, it, "guess-of-mine") as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 61
        async with http.get(f"{it.url}/login?code=guess-of-mine") as answer:
            assert answer.status == 429
        # Whoever has a right token need not wait, from the same address and wherever the token stands.
        for right in (OPERATOR, VIEWER):
            async with http.get(f"{it.url}/api/report", headers=right) as answer:
                assert answer.status == 200
        async with await log_in(http, it, SECRETS.operator_token) as answer:
            assert answer.status == 303
        assert (await brake(http, it, OPERATOR))[0] == 200
        # Without a token there is nothing to wait for.
        async with http.get(f"{it.url}/api/report") as answer:
            assert answer.status == 401
    assert caplog.text.count("audit: wrong token from 127.0.0.1") == 5
    assert "guess-of-mine" not in caplog.text


def test_an_address_waits_until_its_failures_are_old() -> None:
    now = 0
    throttle = Throttle(lambda: now)
    for second in range(5):
        now = second * SECOND
        assert throttle.wait("192.0.2.1") == 0
        throttle.failed("192.0.2.1")
    assert throttle.wait("192.0.2.1") == 56 * SECOND
    assert throttle.wait("::ffff:192.0.2.1") == 56 * SECOND
    assert throttle.wait("192.0.2.2") == 0
    now = 60 * SECOND - 1
    assert throttle.wait("192.0.2.1") == 1
    now = 60 * SECOND
    assert throttle.wait("192.0.2.1") == 0


def test_one_customers_ipv6_addresses_wait_together() -> None:
    throttle = Throttle(lambda: 0)
    for host in range(5):
        throttle.failed(f"2001:db8:0:1::{host}")
    assert throttle.wait("2001:db8:0:1:ffff::1")
    assert not throttle.wait("2001:db8:0:2::1")


def test_the_throttle_forgets_the_oldest_of_very_many_addresses() -> None:
    throttle = Throttle(lambda: 0)
    for _ in range(5):
        throttle.failed("192.0.2.1")
    for number in range(10_000):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert not throttle.wait("192.0.2.1")


async def test_a_stream_ends_with_its_login(tmp_path: Path) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with console(tmp_path) as it, aiohttp.ClientSession(cookie_jar=jar) as http:
        async with await log_in(http, it, SECRETS.operator_token):
            pass
        async with http.get(f"{it.url}/brake") as answer:
            csrf = csrf_of(await answer.text())
        (cookie,) = jar
        elsewhere = {**FOREIGN, "Cookie": f"shim_session={cookie.value}"}
        stream = await http.get(f"{it.url}/live", headers=elsewhere)
        assert stream.status == 200
        async with http.post(f"{it.url}/logout", data={"csrf": csrf}):
            pass
        async with asyncio.timeout(60):
            await stream.read()
