"""What operators read: health, connections, the report."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiohttp import web

from shim.aio import Shim
from shim.model import Kind, Role, Stage, seconds
from shim.observers import Tally
from shim.router import Tracked
from shim.server.auth import Gatekeeper
from shim.server.sockets import unauthorized

_FILTERS = ("user", "package", "kind", "stage", "limit")
_MOST = 10_000


class Api:
    def __init__(self, shim: Shim, tally: Tally, gatekeeper: Gatekeeper) -> None:
        self._shim = shim
        self._tally = tally
        self._gatekeeper = gatekeeper

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Reading under `/api` is open on loopback and wants the operator's token elsewhere."""
        if request.path.startswith("/api") and not self._gatekeeper.may_read(request):
            return unauthorized("the operator's token is needed")
        response: web.StreamResponse = await handler(request)
        return response

    async def healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        if self._shim.draining:
            return web.json_response({"status": "draining"}, status=503)
        return web.json_response({"status": "ready"})

    async def connections(self, request: web.Request) -> web.Response:
        try:
            rows, limit = self._select(request)
        except ValueError as error:
            return web.json_response({"error": "bad_request", "message": str(error)}, status=400)
        return web.json_response({"connections": list(islice(rows, limit))})

    def _select(self, request: web.Request) -> tuple[Iterator[dict[str, Any]], int]:
        query = request.query
        if unknown := set(query) - set(_FILTERS):
            raise ValueError(f"unknown filter {min(unknown)!r}; there are {', '.join(_FILTERS)}")
        kind = Kind(query["kind"]) if "kind" in query else None
        stage = None
        if "stage" in query:
            stages = {str(stage): stage for stage in Stage}
            if query["stage"] not in stages:
                raise ValueError(f"unknown stage {query['stage']!r}; there are {', '.join(stages)}")
            stage = stages[query["stage"]]
        limit = int(query.get("limit", 1000))
        if not 1 <= limit <= _MOST:
            raise ValueError(f"limit must be 1 to {_MOST}")
        user, package = query.get("user"), query.get("package")
        now = self._shim.clock()
        rows = (
            _row(tracked, now)
            for tracked in self._shim.router.connections()
            if (user is None or tracked.connection.user == user)
            and (package is None or tracked.connection.package == package)
            and (kind is None or tracked.connection.kind is kind)
            and (stage is None or tracked.stage == stage)
        )
        return rows, limit

    async def report(self, request: web.Request) -> web.Response:
        stages = dict.fromkeys((str(stage) for stage in Stage), 0)
        kinds = dict.fromkeys((kind.value for kind in Kind), 0)
        for tracked in self._shim.router.connections():
            if tracked.closed_by is None:
                stages[str(tracked.stage)] += 1
                kinds[tracked.connection.kind.value] += 1
        driver = self._shim.driver
        return web.json_response(
            {
                "connections": {"open": sum(stages.values()), "stages": stages, "kinds": kinds},
                "sessions": len(self._shim.sessions),
                "pauses": {"count": driver.pauses, "seconds": seconds(driver.paused_for)},
                **self._tally.as_dict(),
            }
        )


def _row(tracked: Tracked, now: int) -> dict[str, Any]:
    connection = tracked.connection
    return {
        "connection": connection.id,
        "kind": connection.kind.value,
        "user": connection.user,
        "session": connection.session,
        "package": connection.package,
        "stage": str(tracked.stage),
        "acting": None if tracked.acting is None else tracked.acting.value,
        "watched_by": [r.value for r in Role if tracked.instance(r) is not None],
        "connected": seconds(now - tracked.opened_at),
        "silence": seconds(now - tracked.last_activity),
        "closing": tracked.closed_by is not None,
    }
