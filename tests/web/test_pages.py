"""The pages without a browser: what clients call themselves is text, and forms ask what they say."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest

from shim.model import Kind, Return, Role, Stage, VerdictKind, VerdictName
from tests.live.servers import app_client
from tests.waiting import until
from tests.web.servers import OPERATOR, Server, console

pytestmark = pytest.mark.real
EVIL = "<img src=x onerror=alert(1)>\"'&</title>@example.com"


async def page(http: aiohttp.ClientSession, it: Server, path: str) -> str:
    async with http.get(urljoin(it.url, path), headers=OPERATOR) as answer:
        assert answer.status == 200, path
        return await answer.text()


async def test_names_of_clients_are_only_text(tmp_path: Path) -> None:
    package = "<script>alert(2)</script>"
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        silent = await app_client(http, it.url, EVIL, package, autoping=False)
        listing = await page(http, it, "/connections")
        assert EVIL in unescape(listing)
        (session,) = re.findall(r'href="(/sessions/[^"]+)"', await page(http, it, "/sessions"))
        paths = ["/", "/connections", "/sessions", session]
        texts = [await page(http, it, path) for path in paths]
        await until(lambda: it.shim.assembly.tally.verdicts[VerdictName.MATCHED] >= 1)
        it.shim.engage_brake("<b>because</b>")
        assert it.shim.assembly.records.ledger.flush(10)
        paths = ["/", "/verdicts", "/verdicts/1", "/outcomes", "/brake"]
        texts += [await page(http, it, path) for path in paths]
        texts.append(await page(http, it, "/login?next=/%22%3E%3Cscript%3E"))
        async with http.get(f"{it.url}/live", headers=OPERATOR) as stream:
            await stream.content.readuntil(b"\n\n")
            texts.append((await stream.content.readuntil(b"\n\n")).decode())
        await silent.close()
    for text in texts:
        for evil in ("<img", "<script>", "<b>", 'onerror=alert(1)>"', "</title>@"):
            assert evil not in text
    assert sum(EVIL in unescape(text) for text in texts) >= 5


async def test_the_page_of_the_brake_tells_of_a_quarantine(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        assert "quarantined" not in await page(http, it, "/brake")
        candidate = it.shim.router.monitors(Role.CANDIDATE)
        assert candidate is not None
        candidate.quarantine()
        assert "The candidate is quarantined" in await page(http, it, "/brake")


async def test_every_link_of_the_dashboard_leads_somewhere(tmp_path: Path) -> None:
    async with console(tmp_path, Stage.LIVE) as it, aiohttp.ClientSession() as http:
        silent = await app_client(http, it.url, "alice@example.com", autoping=False)
        await until(lambda: it.shim.assembly.tally.verdicts[VerdictName.MATCHED] >= 1)
        assert it.shim.assembly.records.ledger.flush(10)
        links = {
            unescape(link)
            for link in re.findall(r'href="([^"#]+)"', await page(http, it, "/?period=1h"))
        }
        assert {"/connections?stage=live&kind=app", "?period=30d", "/api/openapi.json"} <= links
        assert any(link.startswith("/verdicts?verdict=matched&kind=both") for link in links)
        for link in links:
            await page(http, it, link)
        await silent.close()


async def test_a_form_with_empty_fields_asks_for_everything(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        app = await app_client(http, it.url, "alice@example.com")
        text = await page(http, it, "/connections?user=&package=&kind=&stage=&acting=")
        assert "alice@example.com" in text
        text = await page(http, it, "/connections?stage=off&kind=app")
        assert "No connection matches" in text
        assert "<option selected>off</option>" in text
        await app.close()


async def test_the_forms_offer_every_word_that_a_filter_knows(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        for path, kinds in (
            ("/connections", (Kind, Stage, Role)),
            ("/outcomes", (Kind, Role, Return)),
            ("/verdicts", (VerdictName, VerdictKind, Kind, Role)),
        ):
            options = set(re.findall(r"<option[^>]*>(\w+)</option>", await page(http, it, path)))
            assert options >= {str(word) for kind in kinds for word in kind}


async def test_long_lists_have_a_next_page(tmp_path: Path) -> None:
    async with console(tmp_path) as it, aiohttp.ClientSession() as http:
        apps = [await app_client(http, it.url, f"user-{number}") for number in range(3)]
        text = await page(http, it, "/connections?limit=2&kind=app")
        (following,) = re.findall(r'href="(\?[^"]+)" rel="next"', text)
        text = await page(http, it, "/connections" + unescape(following))
        assert "user-2" in text
        assert "user-1" not in text
        assert 'rel="next"' not in text
        for app in apps:
            await app.close()
