"""The clients from PyPI: `python python_clients.py` with a list of {client, url} as JSON on standard input.

Each is left to itself; the end of standard input ends the process. It runs in an environment of its own,
which has these libraries and not the shim.
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any


async def run_websockets(url: str) -> None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    async for websocket in connect(url):
        with suppress(ConnectionClosed):
            async for _ in websocket:
                pass


async def run_aiohttp(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url) as websocket:
        async for _ in websocket:
            pass
    await asyncio.Event().wait()


async def run_socketio(url: str) -> None:
    import socketio

    origin, label = url.rsplit("/", 1)
    client = socketio.AsyncClient()
    await client.connect(
        origin.replace("ws:", "http:"),
        socketio_path=f"{label}/socket.io",
        transports=["websocket"],
    )
    await asyncio.Event().wait()


async def run_centrifuge(url: str) -> None:
    from centrifuge import Client

    client = Client(url)
    await client.connect()
    await asyncio.Event().wait()


async def run_gql(url: str) -> None:
    from gql import gql

    session = await _gql_session(url)
    document = gql("subscription { tick }")
    while True:
        with suppress(Exception):
            async for _ in session.subscribe(document):
                pass
        # While the transport is away a subscription fails at once.
        await asyncio.sleep(0.05)


async def run_gql_idle(url: str) -> None:
    session = await _gql_session(url)
    await asyncio.Event().wait()
    del session


async def _gql_session(url: str) -> Any:
    from gql import Client
    from gql.transport.websockets import WebsocketsTransport

    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    transport = WebsocketsTransport(url=url, subprotocols=protocols)
    return await Client(transport=transport).connect_async(reconnecting=True)


async def run_websocket_client(url: str) -> None:
    _in_a_thread(url, {"reconnect": 5})


async def run_websocket_client_default(url: str) -> None:
    _in_a_thread(url, {})


def _in_a_thread(url: str, options: dict[str, Any]) -> None:
    import websocket

    client = websocket.WebSocketApp(url)
    threading.Thread(target=client.run_forever, kwargs=options, daemon=True).start()


CLIENTS: dict[str, Callable[[str], Awaitable[None]]] = {
    "websockets": run_websockets,
    "aiohttp": run_aiohttp,
    "python-socketio": run_socketio,
    "centrifuge-python": run_centrifuge,
    "gql": run_gql,
    "gql-idle": run_gql_idle,
    "websocket-client": run_websocket_client,
    "websocket-client-default": run_websocket_client_default,
}


async def main() -> None:
    wanted = json.loads(sys.stdin.readline())
    # What a client raises concerns that client alone.
    running = [asyncio.ensure_future(CLIENTS[one["client"]](one["url"])) for one in wanted]
    await asyncio.to_thread(sys.stdin.read)
    del running
    # Some libraries cannot be stopped in a better way.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
