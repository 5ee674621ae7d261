"""Live updates (server-sent events): the parts of the dashboard that changed, as they change."""

import asyncio
from collections import Counter
from contextlib import suppress

import msgspec
from aiohttp import web

from shim.console.access.access import Access, Visitor
from shim.console.access.login_sessions import AccessLevel
from shim.console.api.filters import DashboardQuery, read_query
from shim.console.api.responses import ApiError, unavailable
from shim.console.pages.dashboard import Dashboards
from shim.console.pages.html import Html

PARTS = ("status", "rollout", "agreement", "returns", "trouble", "gate")
_EVERY = 2.0
_MOST = 100
"""Streams to viewers, and as many to operators, whom viewers therefore cannot shut out."""
_PATIENCE = 30.0
"""Seconds after which the stream to a browser that reads nothing ends."""
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",
}


class EventStream:
    """Streams to every viewer of the dashboard."""

    def __init__(self, html: Html, dashboards: Dashboards, access: Access) -> None:
        self._html = html
        self._access = access
        self._dashboards = dashboards
        self._listeners: Counter[AccessLevel] = Counter()
        self._ended = asyncio.Event()

    async def stream(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """Stream until the browser leaves, its login ends, or the shim ends."""
        query = read_query(request, DashboardQuery)
        level = visitor.level
        if self._listeners[level] >= _MOST:
            raise unavailable("Too many are looking at the dashboard already.")
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        self._listeners[level] += 1
        try:
            await response.write(b"retry: 3000\n\n")
            sent: dict[str, str] = {}
            while not self._ended.is_set():
                # The login may have ended since the last turn.
                visitor = self._access.reader(request)
                content = await self._dashboards.content(query.period)
                parts = {
                    part: self._html.part(request, visitor, f"parts/{part}.html", content=content)
                    for part in PARTS
                }
                changed = {part: text for part, text in parts.items() if sent.get(part) != text}
                sent = parts
                # Also without a change: it shows that the shim lives, and finds viewers who have left.
                event = b"event: parts\ndata: %b\n\n" % msgspec.json.encode(changed)
                async with asyncio.timeout(_PATIENCE):
                    await response.write(event)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), _EVERY)
        except (ConnectionResetError, TimeoutError, ApiError):
            pass
        finally:
            self._listeners[level] -= 1
        return response

    async def end(self, app: web.Application) -> None:
        """Let all streams end: the application stops."""
        self._ended.set()
