"""The console put together: its paths, on the application that the operators' listener serves."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from shim.pseudonyms import Pseudonyms
from shim.server.auth import Secrets
from shim.server.console.access import Access
from shim.server.console.api import Api
from shim.server.console.evidence import Evidence
from shim.server.console.names import Register
from shim.server.console.openapi import openapi
from shim.server.console.operations import Operations
from shim.server.console.pages import Pages
from shim.server.console.probes import Health, MetricsPage
from shim.server.console.problems import Refusal, problem
from shim.server.console.responses import json_answer

log = logging.getLogger("shim")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_console(app: web.Application, operations: Operations, secrets: Secrets) -> None:
    """Serve the pages, the API and the metrics on this application."""
    access = Access(secrets, operations.shim.clock)
    evidence = Evidence(operations)
    register = Register(Pseudonyms(secrets.hash_key))
    api = Api(operations, evidence, register)
    endpoints = api.endpoints()
    document = openapi(endpoints)

    async def describe(request: web.Request) -> web.Response:
        try:
            access.reader(request)
        except Refusal as refusal:
            return problem(refusal)
        return json_answer(document)

    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.bound_to(access))
    app.router.add_get("/api/openapi.json", describe)
    Pages(operations, evidence, register, access).add_to(app)
    app.router.add_get("/metrics", MetricsPage(operations, access).show)
    app.middlewares.append(_problems)


def add_health(app: web.Application, operations: Operations) -> None:
    """Serve `/healthz` and `/readyz` on this application."""
    health = Health(operations)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Under `/api` every error is problem+json, the unforeseen ones included."""
    if not request.path.startswith("/api/"):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(Refusal(HTTPStatus(error.status), error.reason, headers))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return problem(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the shim"))
