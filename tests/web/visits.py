"""What a visitor of the console can read, and how a visitor logs in."""

import aiohttp

from tests.web.servers import Server

READABLE = (
    "/",
    "/connections",
    "/sessions",
    "/verdicts",
    "/outcomes",
    "/brake",
    "/live",
    "/metrics",
    "/api/connections",
    "/api/sessions",
    "/api/report",
    "/api/verdicts",
    "/api/outcomes",
    "/api/gate",
    "/api/flags",
    "/api/flags/explain?user=alice@example.com",
    "/api/brake",
    "/api/openapi.json",
)


async def log_in(
    http: aiohttp.ClientSession, it: Server, token: str, next_: str = "/", **headers: str
) -> aiohttp.ClientResponse:
    return await http.post(
        f"{it.url}/login",
        data={"token": token, "next": next_},
        headers=headers,
        allow_redirects=False,
    )


def csrf_of(page: str) -> str:
    return page.split('name="csrf" value="')[1].split('"')[0]
