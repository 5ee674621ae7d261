"""An echo service on `websockets` with the whole shim in it; `console: {port: 8081}` has the console.

Start it where config/shim.yaml is, with SHIM_OPERATOR_TOKEN and SHIM_HASH_KEY in the environment.
"""

import asyncio
import logging
import os
import signal
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from shim.websockets import Shim

shim = Shim.open("config/shim.yaml")


async def app_socket(websocket: ServerConnection) -> None:
    assert websocket.request is not None
    asked = parse_qs(urlsplit(websocket.request.path).query)
    (user,), (package,) = asked["user"], asked["package"]  # use your authentication here
    async with shim.register_app_connection(websocket, user, user, package):
        async for message in websocket:
            await websocket.send(message)


async def main() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    port = int(os.environ.get("PORT", "8000"))
    async with serve(app_socket, "127.0.0.1", port, **shim.options), shim:
        await stopped.wait()


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    asyncio.run(main())
