"""One path of the API: its handler, its filters, and its answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias, TypeVar

import msgspec
from aiohttp import web

from shim.console.access.access import CSRF_HEADER, Access, Visitor
from shim.console.api.bodies import read_body
from shim.console.api.filters import NoQuery, read_query
from shim.console.api.problems import ApiError, bad_request, problem

B = TypeVar("B")


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
    """A path with a `body` is a change, which needs the operator's token."""

    path: str
    handler: Answer
    summary: str
    answer: Any
    query: type[msgspec.Struct] = NoQuery
    body: Any = None

    @property
    def method(self) -> str:
        return "GET" if self.body is None else "POST"

    def bound_to(self, access: Access) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """The request handler: refusals become problem+json."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await self.handler(await self._ask(request, access))
            except ApiError as error:
                return problem(error)

        return handle

    async def _ask(self, request: web.Request, access: Access) -> ApiRequest:
        if self.body is None:
            visitor = access.reader(request)
            return ApiRequest(request, visitor, read_query(request, self.query))
        visitor = access.operator(request, request.headers.get(CSRF_HEADER, ""))
        query = read_query(request, self.query)
        return ApiRequest(request, visitor, query, await _read_body(request, self.body))


async def _read_body(request: web.Request, model: Any) -> Any:
    if request.content_type != "application/json":
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    body = await read_body(request)
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body: {error}") from None
