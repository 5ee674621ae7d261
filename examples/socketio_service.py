"""Socket.IO by python-socketio on aiohttp, with the whole shim in it.

Engine.IO makes the WebSocket itself, in a class that it takes from a table; the class here takes its place.
"""

import logging
import os
from typing import Any

import socketio
from aiohttp import web
from engineio.async_drivers.aiohttp import WebSocket

from shim.aio import Shim

shim = Shim.open("config/shim.yaml")
# Longer than the timeout of the monitors, so that they decide.
sio = socketio.AsyncServer(async_mode="aiohttp", ping_timeout=60)


class WatchedWebSocket(WebSocket):  # type: ignore[misc]
    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request = environ["aiohttp.request"]
        self.environ = environ
        self._sock = shim.websocket(max_msg_size=self.server.max_http_buffer_size)
        await self._sock.prepare(request)
        user = request.query["user"]  # use your authentication here
        async with shim.register_app_connection(self._sock, user, user, "com.example.chat"):
            await self.handler(self)
        return self._sock


async def say(sid: str, text: str) -> None:
    await sio.emit("echo", text, to=sid)


sio.on("say", say)

app = web.Application()
app.cleanup_ctx.append(shim.lifespan)
app.add_subapp("/shim", shim.console())
sio.eio._async = {**sio.eio._async, "websocket": WatchedWebSocket}
sio.attach(app)

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
