"""Answers in JSON, and errors as problem+json (RFC 9457).

Long answers are written in pieces, so that the event loop does not stall.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")
PROBLEM_TYPE = "application/problem+json"
_PIECE = 250
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_answer(body: Any, status: int = 200) -> web.Response:
    """A body as JSON, which nobody may cache."""
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=_HEADERS,
    )


async def json_page(
    name: str, items: Sequence[T], answer: Callable[[T], Any], cursor: str | None, **more: Any
) -> web.Response:
    """`{name: [...], "next": cursor}`, and `more`."""
    encoder = msgspec.json.Encoder()
    pieces = []
    for begin in range(0, len(items), _PIECE):
        rows = [answer(item) for item in items[begin : begin + _PIECE]]
        pieces.append(encoder.encode(rows)[1:-1])
        await asyncio.sleep(0)
    rest = encoder.encode({"next": cursor, **more})[1:]
    body = b'{"%b":[%b],%b' % (name.encode(), b",".join(pieces), rest)
    return web.Response(body=body, content_type="application/json", headers=_HEADERS)


class ProblemAnswer(msgspec.Struct, kw_only=True):
    """An error (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ApiError(Exception):
    """A request that is answered with an error; `detail` is for the visitor."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def bad_request(detail: str) -> ApiError:
    """400: the request is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> ApiError:
    """404: there is no such thing."""
    return ApiError(HTTPStatus.NOT_FOUND, detail)


def unavailable(detail: str) -> ApiError:
    """503: the answer cannot be given now."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def problem(error: ApiError) -> web.Response:
    """The error as problem+json."""
    body = ProblemAnswer(title=error.status.phrase, status=error.status.value, detail=error.detail)
    return web.Response(
        body=msgspec.json.encode(body),
        status=error.status,
        content_type=PROBLEM_TYPE,
        headers=error.headers,
    )
