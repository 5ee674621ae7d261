"""A person at the dashboard: a real browser, a real shim, real clients."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from shim.aio import Shim
from shim.model import Stage, VerdictName
from tests.live.servers import app_client
from tests.waiting import until
from tests.web.browser import Browser, browser
from tests.web.servers import SECRETS, Server, console
from tests.web.test_base_path import embed

pytestmark = pytest.mark.real
# Slower than other tests: the clients have to stay alive beside a busy browser. Episodes have traces,
# though nobody collects them here.
SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 1s, timeout: 6s}
  candidate: {plugin: per-session, heartbeat_interval: 1s, timeout: 6s, close_timeout: 1s}
comparison: {tolerance: 5s, window: 10s, return_window: 20s}
server: {drain: 200ms}
telemetry:
  endpoint: http://127.0.0.1:1
  timeout: 100ms
  trace_url: http://127.0.0.1:16686/trace/{trace_id}
"""


async def log_in(page: Browser, it: Server, token: str = SECRETS.operator_token) -> None:
    await page.open(f"{it.url}/login?next=/")
    await page.run("document.querySelector('#token').focus()")
    await page.type(token)
    page.begin()
    await page.press("Enter")
    await page.loaded()


async def test_an_operator_at_work(tmp_path: Path) -> None:
    async with (
        console(tmp_path, Stage.LIVE, SETTINGS) as it,
        aiohttp.ClientSession() as http,
        browser(tmp_path / "profile") as page,
    ):
        clients = [await app_client(http, it.url, "alice@example.com")]
        alive = asyncio.create_task(clients[0].receive())
        await page.look_like(1440)

        # A viewer sees no address.
        await log_in(page, it, SECRETS.viewer_token)
        await page.until("document.querySelector('#live').classList.contains('on')")
        assert await page.text("#rollout .answer") == "1\nopen connection in 1 session"
        assert "Log out viewer" in await page.text("header")
        await page.open(f"{it.url}/connections")
        assert "alice@example.com" not in await page.text()

        await log_in(page, it)
        await page.until("document.querySelector('#live').classList.contains('on')")

        # The figures follow what happens, without a reload.
        clients.append(await app_client(http, it.url, "bob@example.com", autoping=False))
        await until(lambda: it.shim.assembly.tally.verdicts[VerdictName.MATCHED] >= 1, 60)
        await page.until("document.querySelector('#agreement').innerText.includes('matched')")
        await page.until(
            "document.querySelector('#returns').innerText.includes('candidate closed 1')"
        )
        assert "Not known yet" in await page.text("#gate")

        # Every number leads to its rows, every episode opens.
        page.begin()
        await page.run("document.querySelector('#agreement .kinds a').click()")
        await page.loaded()
        assert "bob@example.com" in await page.text("table")
        page.begin()
        await page.run("document.querySelector('a[href^=\"/verdicts/\"]').click()")
        await page.loaded()
        story = await page.text()
        assert "last sign of life" in story
        assert "closes the connection with code 1001" in story
        link = await page.run("document.querySelector('a.button[href*=\"16686\"]')?.href")
        assert link is not None
        assert "{" not in link

        # The brake, with a reason, and back.
        for order, reason in (("Engage", "false kills"), ("Release", "fixed in 1.2")):
            await page.open(f"{it.url}/brake")
            await page.run("document.querySelector('#reason').focus()")
            await page.type(reason)
            page.begin()
            await page.press("Enter")
            await page.loaded()
            engaged = order == "Engage"
            assert (it.shim.router.brake_reason is not None) == engaged
            assert ("The brake is engaged" in await page.text("body")) == engaged
        await page.open(f"{it.url}/brake")
        assert it.shim.assembly.records.ledger.flush(10)
        await page.open(f"{it.url}/brake")
        history = await page.text("table")
        assert "false kills" in history
        assert "fixed in 1.2" in history

        page.begin()
        await page.run("document.querySelector('form[action=\"/logout\"] button').click()")
        await page.loaded()
        assert "The token is in the environment" in await page.text()

        assert page.faults == []
        assert all(url.startswith((it.url, "about:", "data:")) for url in page.requests)
        alive.cancel()
        for client in clients:
            await client.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_page_fits_a_phone(tmp_path: Path, theme: str) -> None:
    async with (
        console(tmp_path, Stage.LIVE) as it,
        aiohttp.ClientSession() as http,
        browser(tmp_path / "profile") as page,
    ):
        user = f"{'a-very-long-name' * 4}@example.com"
        silent = await app_client(http, it.url, user, "com.example." + "long" * 20, autoping=False)
        await page.look_like(390, theme)
        await log_in(page, it)
        open_session = f"/sessions/{user}"
        await page.open(it.url + open_session)
        assert await page.run("document.documentElement.scrollWidth") <= 390
        await until(lambda: it.shim.assembly.tally.verdicts[VerdictName.MATCHED] >= 1)
        assert it.shim.assembly.records.ledger.flush(10)
        for path in (
            "/",
            "/verdicts",
            "/verdicts/1",
            "/outcomes",
            "/connections",
            "/sessions",
            "/brake",
        ):
            await page.open(it.url + path)
            assert await page.run("document.documentElement.scrollWidth") <= 390, path
        color = await page.run("getComputedStyle(document.body).backgroundColor")
        light = sum(int(part) for part in color[4:-1].split(",")) > 380
        assert light == (theme == "light")
        # The button turns it round, and that lasts.
        await page.run("document.querySelector('#theme').click()")
        await page.open(it.url)
        assert await page.run("getComputedStyle(document.body).backgroundColor") != color
        assert page.faults == []
        await silent.close()


async def test_the_keyboard_is_enough_and_keeps_its_place(tmp_path: Path) -> None:
    async with (
        console(tmp_path, settings=SETTINGS) as it,
        aiohttp.ClientSession() as http,
        browser(tmp_path / "profile") as page,
    ):
        await page.look_like(1440)
        await log_in(page, it)
        await page.open(it.url)
        await page.press("Tab")
        assert await page.run("document.activeElement.innerText") == "Skip to the content"
        seen: set[str] = set()
        for _ in range(40):
            await page.press("Tab")
            seen.add(await page.run("document.activeElement.getAttribute('href') ?? ''"))
            assert await page.run("document.activeElement.matches(':focus-visible, body')")
        assert {"/verdicts", "/brake", "?period=7d", "/connections?stage=live"} <= seen
        # A live update does not throw the keyboard out of the part that it replaces.
        await page.run("document.querySelector('#rollout a[href=\"/connections\"]').focus()")
        app = await app_client(http, it.url, "alice@example.com")
        alive = asyncio.create_task(app.receive())
        await page.until("document.querySelector('#rollout .answer').innerText.startsWith('1')")
        focused = await page.run("document.activeElement.getAttribute('href')")
        assert focused == "/connections"
        assert page.faults == []
        alive.cancel()
        await app.close()


async def test_an_operator_at_work_under_a_prefix(tmp_path: Path) -> None:
    (tmp_path / "shim.yaml").write_text(
        f"{SETTINGS}\nrollout: null\nledger: sqlite:///{tmp_path}/shim.db\n"
    )
    shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS)
    async with (
        TestServer(embed(shim, "/outer", "/shim")) as service,
        aiohttp.ClientSession() as http,
        browser(tmp_path / "profile") as page,
    ):
        console_url = f"http://127.0.0.1:{service.port}/outer/shim"
        await page.open(f"{console_url}/login")
        await page.run("document.querySelector('#token').focus()")
        await page.type(SECRETS.operator_token)
        page.begin()
        await page.press("Enter")
        await page.loaded()
        assert await page.run("location.href") == f"{console_url}/"
        await page.until("document.querySelector('#live').classList.contains('on')")

        # The figures follow what happens, without a reload.
        client = await http.ws_connect(service.make_url("/sockets"))
        alive = asyncio.create_task(client.receive())
        await page.until("document.querySelector('#rollout .answer').innerText.startsWith('1')")
        for engaged, reason in ((True, "false kills"), (False, "fixed in 1.2")):
            page.begin()
            await page.run("document.querySelector('nav a[href$=\"/brake\"]').click()")
            await page.loaded()
            await page.run("document.querySelector('#reason').focus()")
            await page.type(reason)
            page.begin()
            await page.press("Enter")
            await page.loaded()
            assert (shim.router.brake_reason is not None) == engaged
            assert ("The brake is engaged" in await page.text("body")) == engaged
        assert page.faults == []
        assert all(url.startswith((console_url, "about:", "data:")) for url in page.requests)
        alive.cancel()
        await client.close()
