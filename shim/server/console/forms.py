"""Forms that a browser sends."""

from http import HTTPStatus

from aiohttp import web

from shim.server.console.problems import Refusal

_MOST = 16_384


async def read_form(request: web.Request) -> dict[str, str]:
    """The fields of a small form. Raises Refusal (413, 415)."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no form of ours")
    if (request.content_length or 0) > _MOST:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MOST} bytes")
    form = await request.post()
    return {name: value for name, value in form.items() if isinstance(value, str)}
