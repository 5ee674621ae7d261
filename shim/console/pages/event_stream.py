"""Live updates (server-sent events): the parts of a page that changed, as they change."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from shim.console.access.access import Access, Visitor
from shim.console.access.login_sessions import AccessLevel
from shim.console.api.filters import ReportQuery, read_query
from shim.console.api.responses import ApiError, unavailable
from shim.console.fleet_reading import FleetReading
from shim.console.pages.dashboard import Dashboards
from shim.console.pages.html import Html
from shim.ledger.fleet_record import FleetRecord, format_clocks, format_differences, is_off

DASHBOARD = ("status", "rollout", "agreement", "returns", "trouble", "gate")
FLEET = ("fleet_state", "fleet_processes")
"""The parts of each page: each has a template of its name, and is the content of the element of this id."""

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


_Facts = Callable[[], Awaitable[Mapping[str, Any]]]


class EventStream:
    """Streams to every viewer of the dashboard and of the fleet."""

    def __init__(
        self, html: Html, dashboards: Dashboards, fleet: FleetReading, access: Access
    ) -> None:
        self._html = html
        self._access = access
        self._dashboards = dashboards
        self._fleet = fleet
        self._listeners: Counter[AccessLevel] = Counter()
        self._ended = asyncio.Event()

    async def dashboard(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """The parts of the dashboard."""
        query = read_query(request, ReportQuery)
        facts = partial(self._dashboards.facts, query.period)
        return await self._stream(request, visitor, DASHBOARD, facts)

    async def fleet(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """The parts of the page about the fleet; while the store does not answer, as they were last known."""

        async def facts() -> Mapping[str, Any]:
            _, trouble = await self._fleet.get()
            return fleet_facts(self._fleet.last_known, trouble)

        return await self._stream(request, visitor, FLEET, facts)

    async def _stream(
        self, request: web.Request, visitor: Visitor, names: Sequence[str], facts: _Facts
    ) -> web.StreamResponse:
        """Stream until the browser leaves, its login ends, or the shim ends."""
        level = visitor.level
        if self._listeners[level] >= _MOST:
            raise unavailable("Too many are looking at live pages already.")
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        self._listeners[level] += 1
        try:
            await response.write(b"retry: 3000\n\n")
            sent: dict[str, str] = {}
            while not self._ended.is_set():
                # The login may have ended since the last turn.
                visitor = self._access.reader(request)
                known = await facts()
                parts = {
                    name: self._html.part(request, visitor, f"parts/{name}.html", **known)
                    for name in names
                }
                changed = {name: text for name, text in parts.items() if sent.get(name) != text}
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


def fleet_facts(fleet: FleetRecord | None, trouble: str | None = None) -> dict[str, Any]:
    """What the templates about the fleet use; `trouble`: why nothing newer is known."""
    return {
        "fleet": fleet,
        "trouble": trouble,
        "differences": [] if fleet is None else format_differences(fleet),
        "clocks": [] if fleet is None else format_clocks(fleet),
        "off": 0 if fleet is None else sum(map(is_off, fleet.processes)),
    }
