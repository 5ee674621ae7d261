"""The console put together: its paths, as an aiohttp application, the health checks and the metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from aiohttp import web

from shim.console.access.access import Access
from shim.console.access.redaction import Pseudonymizer
from shim.console.access.trusted_proxies import TrustedProxies
from shim.console.api.handlers import ApiHandlers
from shim.console.api.openapi import openapi
from shim.console.api.responses import ApiError, json_answer, problem
from shim.console.api.rollout_handlers import RolloutHandlers
from shim.console.base_path import PROXIES, PROXY_PATH, base_of, path_of
from shim.console.fleet_reading import FleetReading
from shim.console.ledger_queries import LedgerQueries
from shim.console.operations import Operations
from shim.console.pages.pages import Pages
from shim.runtime.driver import NotStartedError
from shim.runtime.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def console_app(operations: Operations) -> web.Application:
    """The pages, the API, the metrics and the health checks as an application."""
    app, secrets = web.Application(), operations.assembly.secrets
    settings = operations.shim.settings.console
    if settings.base_path is not None:
        app[PROXY_PATH] = settings.base_path
    app[PROXIES] = proxies = TrustedProxies(settings.trusted_proxies)
    access = Access(
        secrets,
        operations.logins,
        proxies,
        operations.shim.clock,
        open_on_loopback=settings.open_on_loopback,
    )
    pseudonymizer = Pseudonymizer(Pseudonyms(secrets.hash_key))
    queries = LedgerQueries(operations, pseudonymizer)
    fleet = FleetReading(operations, queries)
    endpoints = [
        *ApiHandlers(operations, queries, pseudonymizer, fleet).endpoints(),
        *RolloutHandlers(operations, queries, fleet).endpoints(),
    ]
    document = cache(partial(openapi, endpoints))

    async def describe(request: web.Request) -> web.Response:
        access.reader(request)
        # The event loop may not wait until it is made, the first time.
        made = await asyncio.to_thread(document)
        return json_answer({**made, "servers": [{"url": base_of(request) or "/"}]})

    async def metrics(request: web.Request) -> web.Response:
        access.reader(request)
        accepted = request.headers.get("Accept", "")
        content_type, body = operations.assembly.records.metrics.render(accepted)
        return web.Response(body=body, headers={"Content-Type": content_type})

    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.bound_to(access))
    app.router.add_get("/api/openapi.json", describe)
    Pages(
        operations=operations,
        queries=queries,
        pseudonymizer=pseudonymizer,
        access=access,
        fleet=fleet,
    ).add_to(app)
    app.router.add_get("/metrics", metrics)
    add_health(app, operations)
    app.middlewares.append(_problems)
    return app


def add_health(app: web.Application, operations: Operations) -> None:
    """Serve `/healthz` and `/readyz` on this application, for machines; no token is needed."""

    async def healthz(request: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        """Ready also while ledger or flags file have a problem: connections do not depend on them."""
        if operations.shim.draining:
            return json_answer({"status": "draining"}, status=503)
        answer: dict[str, Any] = {"status": "ready"}
        if (flags := operations.flags(None)) is not None:
            refused = flags.problem is not None
            answer["flags"] = {"digest": flags.digest, "age": flags.age, "refused": refused}
        if trouble := operations.assembly.records.ledger.status().problem:
            answer["ledger"] = trouble
        return json_answer(answer)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """An ApiError and a shim that was not started become problem+json; under `/api` every error does."""
    try:
        return await handler(request)
    except ApiError as error:
        return problem(error)
    except NotStartedError as error:
        return problem(ApiError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)))
    except Exception as error:
        if not path_of(request).startswith("/api/"):
            raise
        if isinstance(error, web.HTTPException):
            headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
            return problem(ApiError(HTTPStatus(error.status), error.reason, headers))
        log.exception("%s %s failed", request.method, request.path)
        return problem(ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the shim"))
