"""Forms that a browser sends."""

from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import web

from shim.console.api.bodies import read_body
from shim.console.api.problems import ApiError


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a small form. Raises Refusal (400, 408, 413, 415)."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise ApiError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no form of ours")
    body = await read_body(request)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
