"""The bodies of requests and forms: they must be small, complete, and in time."""

import asyncio
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from shim.console.api.responses import ApiError, bad_request

SMALL = 16_384
"""Bytes of a body, unless more is expected."""

_TIMEOUT = 10.0
"""Seconds; aiohttp itself would wait without end."""


async def _read_body(request: web.Request, longest: int = SMALL) -> bytes:
    """Raises ApiError (400, 408, 413)."""
    body = bytearray()
    try:
        async with asyncio.timeout(_TIMEOUT):
            async for chunk in request.content.iter_chunked(SMALL):
                body += chunk
                if len(body) > longest:
                    raise ApiError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"the body is longer than {longest} bytes",
                    )
    except TimeoutError:
        raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
    except (web.RequestPayloadError, ConnectionError):
        raise bad_request("the body is not what its headers say") from None
    return bytes(body)


async def read_json(request: web.Request, model: Any, longest: int) -> Any:
    """A body of this type. Raises ApiError (400, 408, 413, 415)."""
    if request.content_type != "application/json":
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    body = await _read_body(request, longest)
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body: {error}") from None


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a small form. Raises ApiError (400, 408, 413, 415)."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no form of ours")
    body = await _read_body(request)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
