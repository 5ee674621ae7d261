"""The link that `serve --dev` and `demo` print logs one operator in, once."""

import logging
import re
from pathlib import Path

import aiohttp
import pytest

from shim.aio import Shim
from tests.live.servers import QUICK, server_process
from tests.web.browser import browser
from tests.web.servers import SECRETS, console

pytestmark = pytest.mark.real


async def test_one_click_in_a_browser(tmp_path: Path) -> None:
    async with (
        console(tmp_path) as it,
        aiohttp.ClientSession() as http,
        browser(tmp_path / "profile") as page,
    ):
        link = it.shim.login_link(it.url)
        code = link.partition("code=")[2]
        await page.open(link)
        assert await page.run("location.href") == f"{it.url}/"
        assert "Log out operator" in await page.text("header")
        await page.until("document.querySelector('#live').classList.contains('on')")
        # The code is in no address that a page could pass on.
        assert code not in await page.run("document.referrer")
        assert [url for url in page.requests if code in url] == [link]
        # Whoever is logged in already just gets there; whoever is not gets nothing.
        await page.open(link)
        assert await page.run("location.href") == f"{it.url}/"
        async with http.get(link) as answer:
            assert answer.status == 401
            assert "Set-Cookie" not in answer.headers
            assert "This link was used already, or is too old" in await answer.text()
        assert page.faults == []


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("OPTIONS", {}, 405),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}, 503),
        ("GET", {"Sec-Purpose": "prefetch"}, 503),
        ("GET", {"Purpose": "prefetch"}, 503),
    ],
)
async def test_looking_ahead_uses_up_no_link(
    tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with console(tmp_path) as it, aiohttp.ClientSession(cookie_jar=jar) as http:
        link = it.shim.login_link(it.url)
        async with http.request(method, link, headers=headers) as answer:
            assert answer.status == status
            assert "Set-Cookie" not in answer.headers
        async with http.get(link) as answer:
            assert (answer.status, answer.url.path) == (200, "/")


@pytest.mark.parametrize("next_", ["/brake", "//evil.example/", "https://evil.example/"])
async def test_a_link_leads_nowhere_else(tmp_path: Path, next_: str) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        link = f"{it.shim.login_link(it.url)}&next={next_}"
        async with http.get(link, allow_redirects=False) as answer:
            assert answer.headers["Location"] == (next_ if next_ == "/brake" else "/")


async def test_guessed_codes_are_slowed_like_tokens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shim")
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        link = it.shim.login_link(it.url)
        for status in [401] * 5 + [429] * 2:
            async with http.get(f"{it.url}/login?code=guess") as answer:
                assert answer.status == status
        async with http.get(link, allow_redirects=False) as answer:
            assert answer.status == 303
    assert caplog.text.count("audit: wrong login link from 127.0.0.1") == 5
    assert "audit: operator login" in caplog.text
    assert link.partition("code=")[2] not in caplog.text
    assert SECRETS.operator_token not in caplog.text


@pytest.mark.parametrize(
    ("base", "address", "link"),
    [
        ("null", "http://example.com:8080/shim/", "http://example.com:8080/shim/login"),
        ("/ops", "http://example.com:8080/a%20b", "http://example.com:8080/ops/a%20b/login"),
        ("/ops", "http://0.0.0.0:8080", "http://127.0.0.1:8080/ops/login"),
        ("null", "http://[::]:8080/", "http://[::1]:8080/login"),
    ],
)
def test_a_link_has_the_path_of_the_console(
    tmp_path: Path, base: str, address: str, link: str
) -> None:
    (tmp_path / "shim.yaml").write_text(f"rollout: null\nconsole: {{base_path: {base}}}\n")
    shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS)
    assert shim.login_link(address).partition("?code=")[0] == link


@pytest.mark.parametrize("apart", [False, True])
async def test_serve_dev_prints_a_link(tmp_path: Path, apart: bool) -> None:
    settings = f"{QUICK}\nconsole: {{port: 0, base_path: /ops}}" if apart else QUICK
    async with server_process(tmp_path, settings=settings) as served:
        assert served.process.stdout is not None
        said = ""
        while "log in" not in said:
            said = (await served.process.stdout.readline()).decode()
        (link,) = re.findall(r"http://\S+$", said)
        if apart:
            # The proxy takes the path away.
            assert "/ops/login?code=" in link
            link = link.replace("/ops/", "/")
        async with (
            aiohttp.ClientSession() as http,
            http.get(link, allow_redirects=False) as answer,
        ):
            assert answer.status == 303
            assert answer.headers["Location"] == ("/ops/" if apart else "/")
            assert f"Path={'/ops' if apart else '/'};" in answer.headers["Set-Cookie"] + ";"
