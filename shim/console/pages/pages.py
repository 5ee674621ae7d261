"""The pages for people: the dashboard and the rows behind its numbers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from aiohttp import web

from shim.console.access.access import COOKIE, CSRF_FIELD, Access, Visitor
from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.bodies import read_form
from shim.console.api.filters import (
    ConnectionsQuery,
    OutcomesQuery,
    ReportQuery,
    SessionsQuery,
    VerdictsQuery,
    read_id,
    read_query,
)
from shim.console.api.responses import ApiError, bad_request, not_found, unavailable
from shim.console.api.schemas import BrakeOrder, named
from shim.console.base_path import OVERVIEW, base_of, path_of
from shim.console.connection_lists import ConnectionLists
from shim.console.fleet_reading import FleetReading
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.console.pages.dashboard import Dashboards
from shim.console.pages.episode_chart import draw_lanes
from shim.console.pages.event_stream import EventStream, fleet_facts
from shim.console.pages.html import Html, see_other
from shim.ledger.protocols import Page
from shim.ledger.timeline import moments, why

_ROWS = 50
_Page = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]


class Pages:
    """The handlers of the console's pages."""

    def __init__(
        self,
        operations: Operations,
        queries: LedgerQueries,
        pseudonymizer: Pseudonymizer,
        access: Access,
        fleet: FleetReading,
    ) -> None:
        self._operations = operations
        self._queries = queries
        self._pseudonymizer = pseudonymizer
        self._access = access
        self._lists = ConnectionLists(operations.shim, pseudonymizer)
        self._html = Html(operations, pseudonymizer)
        self._fleet = fleet
        self._dashboards = Dashboards(operations, queries, fleet)
        self._live = EventStream(self._html, self._dashboards, fleet, access)

    def add_to(self, app: web.Application) -> None:
        """Add the routes; streams end with the application."""
        for path, page in (
            ("/", self.dashboard),
            ("/live", self._live.dashboard),
            ("/live/fleet", self._live.fleet),
            ("/connections", self.connections),
            ("/sessions", self.sessions),
            ("/sessions/{session}", self.session),
            ("/verdicts", self.verdicts),
            ("/verdicts/{verdict}", self.episode),
            ("/outcomes", self.outcomes),
            ("/fleet", self.fleet),
            ("/brake", self.brake),
        ):
            # A HEAD of the stream would never end.
            app.router.add_get(
                path,
                self._for_readers(page),
                allow_head=not path.startswith("/live"),
                name=OVERVIEW if path == "/" else None,
            )
        app.router.add_get("", self._enter)
        app.router.add_post("/brake", self._answered(self.order_brake))
        app.router.add_get("/login", self._answered(self.login))
        app.router.add_post("/login", self._answered(self.log_in))
        app.router.add_post("/logout", self._answered(self.log_out))
        app.router.add_get("/static/{name}", self._answered(self._html.static))
        app.on_shutdown.append(self._live.end)

    async def _enter(self, request: web.Request) -> web.Response:
        """`/shim` is where people begin; the overview is `/shim/`."""
        return see_other(f"{base_of(request)}/{_query_of(request)}")

    async def dashboard(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = read_query(request, ReportQuery)
        facts = await self._dashboards.facts(query.period)
        return self._html.page(request, visitor, "dashboard.html", **facts)

    async def connections(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = read_query(request, ConnectionsQuery, limit=_ROWS)
        page, following = await self._lists.connections(query)
        answer = self._lists.connection_answer(self._names(visitor, query.user))
        return self._list(request, visitor, "connections.html", map(answer, page), following)

    async def sessions(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = read_query(request, SessionsQuery, limit=_ROWS)
        page, following = await self._lists.sessions(query)
        answer = self._lists.session_answer(self._names(visitor, query.user))
        return self._list(request, visitor, "sessions.html", map(answer, page), following)

    async def session(self, request: web.Request, visitor: Visitor) -> web.Response:
        asked = request.match_info["session"]
        session = self._lists.session(asked)
        if session is None:
            raise not_found("There is no such session now. It may have ended.")
        names = self._names(visitor, asked)
        found: Page | None = None
        with suppress(ApiError):
            found = await self._queries.latest_verdicts(visitor, session.user, 10)
        facts = self._lists.session_facts(session, names)
        return self._html.page(
            request,
            visitor,
            "session.html",
            **facts,
            episodes=None if found is None else found.rows,
            record=None if found is None else found.record,
            names=names,
        )

    async def verdicts(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = read_query(request, VerdictsQuery, limit=_ROWS)
        page = await self._queries.verdicts(visitor, query)
        names = self._names(visitor, query.user)
        return self._list(
            request,
            visitor,
            "verdicts.html",
            page.rows,
            page.cursor,
            names=names,
            record=page.record,
        )

    async def episode(self, request: web.Request, visitor: Visitor) -> web.Response:
        number = read_id(request.match_info["verdict"])
        episode = await self._queries.ask(visitor, lambda ledger: ledger.episode(number))
        if episode is None:
            raise not_found("There is no such episode. The ledger may not keep it any more.")
        names, (lanes, labels) = self._names(visitor), draw_lanes(episode)
        failures = [named(row, names) for row in episode.failures]
        shown = msgspec.structs.replace(episode, failures=failures)
        return self._html.page(
            request,
            visitor,
            "episode.html",
            episode=episode,
            verdict=episode.verdict,
            why=why(episode),
            moments=moments(shown),
            lanes=lanes,
            labels=labels,
            trace_url=self._operations.trace_url(episode.verdict.trace),
        )

    async def outcomes(self, request: web.Request, visitor: Visitor) -> web.Response:
        query = read_query(request, OutcomesQuery, limit=_ROWS)
        record = await self._fleet.record()
        rows = await self._queries.outcomes(visitor, query)
        names = self._names(visitor, query.user)
        return self._list(request, visitor, "outcomes.html", rows, None, names=names, record=record)

    async def fleet(self, request: web.Request, visitor: Visitor) -> web.Response:
        fleet, trouble = await self._fleet.get()
        if fleet is None:
            raise unavailable(trouble or "The store does not answer.")
        return self._html.page(request, visitor, "fleet.html", **fleet_facts(fleet))

    async def brake(self, request: web.Request, visitor: Visitor) -> web.Response:
        history, record = await asyncio.gather(self._queries.brakes(visitor), self._fleet.record())
        return self._html.page(request, visitor, "brake.html", history=history, record=record)

    async def order_brake(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        visitor = self._access.operator(request, form.get(CSRF_FIELD, ""))
        order = {"engaged": form.get("engaged") == "yes", "reason": form.get("reason", "")}
        try:
            await self._operations.order_brake(visitor, msgspec.convert(order, BrakeOrder))
        except msgspec.ValidationError:
            raise bad_request("A reason of 3 to 500 characters, in one line, is needed.") from None
        return see_other(f"{base_of(request)}/brake")

    async def login(self, request: web.Request) -> web.Response:
        """The form; or, for the first request with the code of a login link, the overview."""
        following = _own_path(request, request.query.get("next", ""))
        if (code := request.query.get("code")) is None or request.method == "HEAD":
            return self._html.page(request, None, "login.html", following=following, error=None)
        if _is_ahead(request):
            raise unavailable("A login link works when somebody follows it.")
        return self._log_in(request, following, partial(self._access.log_in_once, request, code))

    async def log_in(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        following = _own_path(request, form.get("next", ""))
        token = form.get("token", "").strip()
        return self._log_in(request, following, partial(self._access.log_in, request, token))

    def _log_in(
        self, request: web.Request, following: str, open_login: Callable[[], str | None]
    ) -> web.Response:
        """Lead the browser on with its cookie, if it needs another one; or show the form again."""
        try:
            cookie = open_login()
        except ApiError as error:
            return self._html.refused(request, error, template="login.html", following=following)
        response = see_other(following)
        if cookie is not None:
            self._access.set_cookie(request, response, cookie)
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        form = await read_form(request)
        self._access.log_out(request, form.get(CSRF_FIELD, ""))
        base = base_of(request)
        response = see_other(f"{base}/")
        response.del_cookie(COOKIE, path=base or "/", httponly=True, samesite="Lax")
        return response

    def _list(
        self,
        request: web.Request,
        visitor: Visitor,
        template: str,
        rows: Any,
        cursor: str | None,
        **more: Any,
    ) -> web.Response:
        """A page of rows, with the filters that were asked and the way to the next page."""
        asked = dict(request.query)
        following = None if cursor is None else f"?{urlencode({**asked, 'cursor': cursor})}"
        return self._html.page(
            request, visitor, template, rows=list(rows), following=following, asked=asked, **more
        )

    def _names(self, visitor: Visitor, asked: str | None = None) -> Names:
        return Names(self._pseudonymizer, visitor, asked)

    def _for_readers(self, page: _Page) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """A page for visitors who may read; other visitors see the login."""

        async def handle(request: web.Request) -> web.StreamResponse:
            await self._html.compile_templates()
            base, path, visitor = base_of(request), path_of(request), None
            is_stream = path.startswith("/live")
            try:
                visitor = self._access.reader(request)
                # A stream would keep its place.
                places = nullcontext() if is_stream else self._access.places.take(visitor.level)
                async with places:
                    return await page(request, visitor)
            except ApiError as error:
                is_unknown = visitor is None and error.status is HTTPStatus.UNAUTHORIZED
                if is_unknown and not is_stream:
                    asked = f"{base}{path}{_query_of(request)}"
                    return see_other(f"{base}/login?{urlencode({'next': asked})}")
                return self._html.refused(request, error, visitor)

        return handle

    def _answered(
        self, page: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            await self._html.compile_templates()
            try:
                return await page(request)
            except ApiError as error:
                return self._html.refused(request, error)

        return handle


def _query_of(request: web.Request) -> str:
    query = request.rel_url.raw_query_string
    return f"?{query}" if query else ""


def _is_ahead(request: web.Request) -> bool:
    """Whether the browser loads what its user may want next, or shows it to the user before that."""
    purposes = request.headers.get("Sec-Purpose", ""), request.headers.get("Purpose", "")
    return any("prefetch" in purpose.lower() for purpose in purposes)


def _own_path(request: web.Request, target: str) -> str:
    """A path of this console; for any other target, the overview."""
    home = f"{base_of(request)}/"
    own = target.startswith(home) and not target.startswith("//")
    # Browsers read a backslash as a slash, and `%2e` as a dot.
    plain = target.isascii() and target.isprintable() and "\\" not in target
    path = re.sub("%2e", ".", urlsplit(target).path, flags=re.IGNORECASE)
    return target if own and plain and ".." not in path.split("/") else home
