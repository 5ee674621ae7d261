"""Bodies of requests: small, whole, and in time."""

import asyncio
from http import HTTPStatus

from aiohttp import web

from shim.console.api.problems import ApiError, bad_request

_MOST = 16_384
_TIMEOUT = 10.0
"""Seconds; aiohttp itself would wait for ever."""


async def read_body(request: web.Request) -> bytes:
    """Raises Refusal (400, 408, 413)."""
    body = bytearray()
    try:
        async with asyncio.timeout(_TIMEOUT):
            async for chunk in request.content.iter_chunked(_MOST):
                body += chunk
                if len(body) > _MOST:
                    raise ApiError(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        f"the body is longer than {_MOST} bytes",
                    )
    except TimeoutError:
        raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
    except (web.RequestPayloadError, ConnectionError):
        raise bad_request("the body is not what its headers say") from None
    return bytes(body)
