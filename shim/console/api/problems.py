"""Errors as answers for programs: problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

CONTENT_TYPE = "application/problem+json"


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
    return ApiError(HTTPStatus.BAD_REQUEST, detail)


def not_found(detail: str) -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, detail)


def unavailable(detail: str) -> ApiError:
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, detail)


def problem(error: ApiError) -> web.Response:
    """The error as problem+json."""
    body = ProblemAnswer(title=error.status.phrase, status=error.status.value, detail=error.detail)
    return web.Response(
        body=msgspec.json.encode(body),
        status=error.status,
        content_type=CONTENT_TYPE,
        headers=error.headers,
    )
