"""The console put together: its paths, as an aiohttp application."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from shim.console.access.access import Access
from shim.console.access.redaction import Pseudonymizer
from shim.console.api.handlers import ApiHandlers
from shim.console.api.openapi import openapi
from shim.console.api.problems import ApiError, problem
from shim.console.api.responses import json_answer
from shim.console.base_path import PROXY_PATH, base_of, path_of
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.console.pages.pages import Pages
from shim.console.probes import Health, MetricsPage
from shim.runtime.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def console_app(operations: Operations) -> web.Application:
    """The pages, the API, the metrics and the health checks as an application."""
    app, secrets = web.Application(), operations.assembly.secrets
    if (proxy_path := operations.shim.settings.console.base_path) is not None:
        app[PROXY_PATH] = proxy_path
    access = Access(secrets, operations.shim.clock)
    queries = LedgerQueries(operations)
    pseudonymizer = Pseudonymizer(Pseudonyms(secrets.hash_key))
    api = ApiHandlers(operations, queries, pseudonymizer)
    endpoints = api.endpoints()
    document = openapi(endpoints)

    async def describe(request: web.Request) -> web.Response:
        try:
            access.reader(request)
        except ApiError as error:
            return problem(error)
        return json_answer({**document, "servers": [{"url": base_of(request) or "/"}]})

    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.bound_to(access))
    app.router.add_get("/api/openapi.json", describe)
    Pages(operations, queries, pseudonymizer, access).add_to(app)
    app.router.add_get("/metrics", MetricsPage(operations, access).show)
    add_health(app, operations)
    app.middlewares.append(_problems)
    return app


def add_health(app: web.Application, operations: Operations) -> None:
    """Serve `/healthz` and `/readyz` on this application."""
    health = Health(operations)
    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Under `/api` every error is problem+json, also an unexpected error."""
    if not path_of(request).startswith("/api/"):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(ApiError(HTTPStatus(error.status), error.reason, headers))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return problem(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the shim"))
