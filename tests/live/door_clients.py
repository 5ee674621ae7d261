"""Clients at the door of the server: what they bring, and how they are refused."""

import asyncio
from typing import Any

import aiohttp

from tests.live.servers import Server

PACKAGE = "com.example.app1"
INIT: dict[str, Any] = {
    "type": "tpa_connection_init",
    "sessionId": f"u-{PACKAGE}",
    "packageName": PACKAGE,
    "apiKey": "dev",
}
APP = {"packageName": PACKAGE, "apiKey": "dev"}
UNFIT = [
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "u\ud800",
    "  ",
    "\t",
    "x" * 257,
    7,
    None,
]


def untouched(it: Server) -> bool:
    """Nothing of a client that was refused has reached the monitors."""
    return not it.shim.sessions and not it.tally.failures


async def refused(websocket: aiohttp.ClientWebSocketResponse, code: int = 1008) -> str:
    """Why this client was refused, as it is told itself."""
    answer = await websocket.receive_json(timeout=60)
    assert answer["type"] in ("tpa_connection_error", "connection_error"), answer
    closed = await websocket.receive(timeout=60)
    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, code)
    assert closed.extra == answer["message"]
    return str(answer["message"])


async def raw(url: str, path: str, headers: dict[str, bytes], until: bytes) -> bytes:
    """What is answered to a handshake whose headers are these very bytes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade".encode(),
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(name.encode() + b": " + value for name, value in headers.items()),
    ]
    writer.write(b"\r\n".join([*lines, b"", b""]))
    try:
        async with asyncio.timeout(5):
            answer = await reader.readuntil(until)
    finally:
        writer.close()
    return answer
