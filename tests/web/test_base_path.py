"""The console under a prefix, in nested applications, and behind a proxy that takes a path away."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from shim.aio import Shim
from shim.flags.targeting import everyone_at
from shim.model import Kind, Stage
from shim.settings.sections import is_base_path
from tests.live.servers import QUICK
from tests.waiting import until
from tests.web.servers import OPERATOR, SECRETS

_LINK = re.compile(r'(?:href|src|action|data-live)="([^"]*)"')
_HOP = ("Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection")


def embed(shim: Shim, *prefixes: str) -> web.Application:
    """A service of its own, with the console under these prefixes, the outermost first."""

    async def sockets(request: web.Request) -> web.StreamResponse:
        websocket = shim.websocket()
        await websocket.prepare(request)
        async with shim.register_glasses_connection(websocket, "alice", "alice") as live:
            async for _ in live:
                pass
        return websocket

    app = shim.console()
    for prefix in reversed(prefixes):
        outer = web.Application()
        outer.add_subapp(prefix, app)
        app = outer
    app.cleanup_ctx.append(shim.lifespan)
    app.router.add_get("/sockets", sockets)
    return app


@asynccontextmanager
async def proxy(target: URL, path: str, header: str | None) -> AsyncIterator[URL]:
    """A proxy that takes `path` away, and says so in the header if that has a value."""

    async def forward(request: web.Request) -> web.StreamResponse:
        address = target.with_path(f"/{request.match_info['rest']}").with_query(request.query)
        headers = {k: v for k, v in request.headers.items() if k not in _HOP}
        headers["X-Forwarded-For"] = "203.0.113.7"
        if header is not None:
            headers["X-Forwarded-Prefix"] = header
        async with http.request(
            request.method,
            address,
            headers=headers,
            data=await request.read(),
            allow_redirects=False,
        ) as asked:
            answer = web.StreamResponse(status=asked.status)
            for name, value in asked.headers.items():
                if name not in _HOP:
                    answer.headers.add(name, value)
            await answer.prepare(request)
            async for chunk in asked.content.iter_any():
                await answer.write(chunk)
        return answer

    app = web.Application()
    app.router.add_route("*", path + "/{rest:.*}", forward)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        TestServer(app) as server,
    ):
        yield server.make_url("")


CASES = {
    "under-a-prefix": (("/shim",), None, None),
    "nested-twice": (("/outer", "/in.ner", "/shim"), None, None),
    "at-the-root-behind-a-proxy": ((), "/ops", "/ops"),
    "under-a-prefix-behind-a-proxy": (("/shim",), "/ops/a~b", "/ops/a~b/"),
    "a-proxy-that-says-nothing": (("/shim",), "/ops", None),
}


@pytest.mark.real
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_everything_works_there(
    tmp_path: Path, case: tuple[tuple[str, ...], str | None, str | None]
) -> None:
    prefixes, taken, header = case
    settings = f"{QUICK}\nledger: sqlite:///{tmp_path}/shim.db\nrollout: null\n"
    if header is not None:
        settings += "console: {trusted_proxies: [127.0.0.1]}\n"
    elif taken is not None:
        settings += f"console: {{base_path: {taken}}}\n"
    (tmp_path / "shim.yaml").write_text(settings)
    base = (taken or "") + "".join(prefixes)
    async with AsyncExitStack() as stack:
        shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS, targeting=everyone_at(Stage.LIVE))
        service = await stack.enter_async_context(TestServer(embed(shim, *prefixes)))
        origin = outside = service.make_url("")
        if taken is not None:
            outside = await stack.enter_async_context(proxy(origin, taken, header))
        jar = aiohttp.CookieJar(unsafe=True)
        http = await stack.enter_async_context(aiohttp.ClientSession(outside, cookie_jar=jar))
        socket = await http.ws_connect(origin / "sockets", autoping=False)
        await until(lambda: shim.assembly.tally.verdicts.total() >= 1)
        await until(lambda: shim.census.open(Kind.GLASSES) == 0)
        await socket.close()
        socket = await http.ws_connect(origin / "sockets")
        assert shim.assembly.records.ledger.flush(10)

        # A page leads to the login, and from there back to itself.
        async with http.get(f"{base}/verdicts?limit=5") as answer:
            assert answer.status == 200
            assert answer.url.path == f"{base}/login"
            (following,) = re.findall(r'name="next" value="([^"]*)"', await answer.text())
        form = {"token": SECRETS.operator_token, "next": unescape(following)}
        async with http.post(f"{base}/login", data=form) as answer:
            assert (answer.status, answer.url.path_qs) == (200, f"{base}/verdicts?limit=5")
        (cookie,) = jar
        assert cookie["path"] == (base or "/")

        pages = await crawl(http, base)
        assert {f"{base}/", f"{base}/verdicts/1", f"{base}/sessions/alice"} <= pages.keys()

        if base != taken:  # the proxy passes nothing on that is not under its own path
            async with http.get(base, params={"period": "1h"}) as answer:
                assert (answer.status, answer.url.path_qs) == (200, f"{base}/?period=1h")
        async with http.get(f"{base}/api/openapi.json") as answer:
            assert (await answer.json())["servers"] == [{"url": base or "/"}]
        async with http.get(f"{base}/api/nothing") as answer:
            assert answer.content_type == "application/problem+json"
        async with http.get(f"{base}/live") as stream:
            assert await stream.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
            event = (await stream.content.readuntil(b"\n\n")).decode()
            parts = json.loads(event.partition("data: ")[2])
            assert_inside(base, " ".join(parts.values()))

        csrf = re.search(r'name="csrf" value="([^"]*)"', pages[f"{base}/brake"])
        assert csrf is not None
        order = {"engaged": "yes", "reason": "a test", "csrf": csrf[1]}
        async with http.post(f"{base}/brake", data=order) as answer:
            assert (answer.status, answer.url.path) == (200, f"{base}/brake")
        assert shim.router.brake_reason == "a test"
        async with http.post(f"{base}/logout", data={"csrf": csrf[1]}) as answer:
            assert answer.url.path in (f"{base}/", f"{base}/login")
        assert not list(jar)
        await socket.close()


async def crawl(http: aiohttp.ClientSession, base: str) -> dict[str, str]:
    """All pages that links lead to, each of which is there, and leads to nothing outside."""
    waiting, pages = [f"{base}/"], dict[str, str]()
    while waiting:
        path = waiting.pop()
        if path in pages:
            continue
        async with http.get(URL(path, encoded=True)) as answer:
            assert answer.status == 200, path
            if answer.content_type == "text/event-stream":
                continue
            pages[path] = text = await answer.text()
        if answer.content_type == "text/html":
            links = assert_inside(base, text)
            # Each page once, whatever its filters are; what a form sends to is no page.
            waiting += {urljoin(path, link) for link in links if not link.endswith("/logout")}
    return pages


def assert_inside(base: str, text: str) -> list[str]:
    links = [unescape(link).partition("#")[0] for link in _LINK.findall(text)]
    links = [link for link in links if link]
    for link in links:
        assert link.startswith((f"{base}/", "?")), link
    return links


BAD = (
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "ops",
    "/ops/../admin",
    "/./ops",
    "/ops//shim",
    "/ops\u00e9",
    '/"onload=alert(1)',
    "/<script>",
    "/a%0d%0aSet-Cookie:x=1",
    "/a;Path=/",
    "/a, /b",
    "/a b",
    "/" + "x" * 256,
)


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_plain_path_counts_for_nothing(path: str) -> None:
    assert not is_base_path(path)


def test_a_line_end_is_no_part_of_a_path() -> None:
    assert not is_base_path("/ops\n")
    assert is_base_path("/ops/..a/.b/c..")


@pytest.mark.real
async def test_a_forged_header_leads_nobody_away(tmp_path: Path) -> None:
    (tmp_path / "shim.yaml").write_text(
        f"{QUICK}\nrollout: null\nledger: sqlite:///{tmp_path}/l.db\n"
        "console: {trusted_proxies: [127.0.0.1]}\n"
    )
    shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS)
    async with TestServer(embed(shim, "/shim")) as service, aiohttp.ClientSession() as http:
        headers = [[("X-Forwarded-Prefix", path.encode().decode("latin1"))] for path in BAD]
        twice = [("X-Forwarded-Prefix", "/a"), ("X-Forwarded-Prefix", "/b")]
        for lines in (*headers, twice):
            address = service.make_url("/shim/login")
            async with http.get(address, headers=[*lines, *OPERATOR.items()]) as answer:
                text = await answer.text()
                assert answer.status == 200
                assert_inside("/shim", text)
                assert "evil" not in text
            async with http.get(
                service.make_url("/shim/verdicts"), headers=lines, allow_redirects=False
            ) as answer:
                assert answer.headers["Location"] == "/shim/login?next=%2Fshim%2Fverdicts"
        # The way back from a login stays within the console, too.
        upwards = ("/shim/../other", "/shim/%2e%2E/other", "/shim/.%2e?a", "/shim/\\..\\..\\other")
        for following in ("//evil.example", "/", "/other", "/shimmer/", *upwards):
            form = {"token": SECRETS.operator_token, "next": following}
            async with http.post(
                service.make_url("/shim/login"), data=form, allow_redirects=False
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/shim/")


@pytest.mark.real
async def test_the_header_of_a_stranger_changes_no_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "shim.yaml").write_text(
        f"{QUICK}\nrollout: null\nledger: sqlite:///{tmp_path}/l.db\n"
        "console: {trusted_proxies: [203.0.113.0/24, '2001:db8::1']}\n"
    )
    shim = Shim.open(tmp_path / "shim.yaml", secrets=SECRETS)
    async with TestServer(embed(shim, "/shim")) as service, aiohttp.ClientSession() as http:
        for _ in range(2):
            async with http.get(
                service.make_url("/shim/login"), headers={"X-Forwarded-Prefix": "/ops"}
            ) as answer:
                assert_inside("/shim", await answer.text())
    assert caplog.text.count("X-Forwarded-Prefix from 127.0.0.1 counts for nothing") == 1
