"""Answers in JSON; long answers are written in pieces, so that the event loop does not stall."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from aiohttp import web

T = TypeVar("T")
_PIECE = 250
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers=_HEADERS,
    )


async def json_page(
    name: str, items: Sequence[T], answer: Callable[[T], Any], cursor: str | None
) -> web.Response:
    """`{name: [...], "next": cursor}`."""
    encoder = msgspec.json.Encoder()
    pieces = []
    for begin in range(0, len(items), _PIECE):
        rows = [answer(item) for item in items[begin : begin + _PIECE]]
        pieces.append(encoder.encode(rows)[1:-1])
        await asyncio.sleep(0)
    body = b'{"%b":[%b],"next":%b}' % (name.encode(), b",".join(pieces), encoder.encode(cursor))
    return web.Response(body=body, content_type="application/json", headers=_HEADERS)
