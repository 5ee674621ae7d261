"""One path of the API: its handler, its filters, and its answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

from shim.console.access.access import CSRF_HEADER, Access, Visitor
from shim.console.api.bodies import SMALL, read_json
from shim.console.api.filters import Query, read_query


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A permitted request: the visitor and the question. `body` is set for changes."""

    request: web.Request
    visitor: Visitor
    query: Any
    body: Any = None


Answer: TypeAlias = Callable[[ApiRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path with a `body` is a change, which needs the operator's token. The body has at most `longest` bytes.

    The docstring of the handler is the summary in the OpenAPI document.
    """

    path: str
    handler: Answer
    answer: Any
    query: type[Query] = Query
    body: Any = None
    longest: int = SMALL

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"

    def bound_to(self, access: Access) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The request handler, which raises ApiError."""

        async def handle(request: web.Request) -> web.StreamResponse:
            if self.body is None:
                visitor = access.reader(request)
            else:
                visitor = access.operator(request, request.headers.get(CSRF_HEADER, ""))
            query = read_query(request, self.query)
            if self.body is not None:
                # An order waits for nobody.
                body = await read_json(request, self.body, self.longest)
                return await self.handler(ApiRequest(request, visitor, query, body))
            async with access.places.take(visitor.level):
                return await self.handler(ApiRequest(request, visitor, query))

        return handle
