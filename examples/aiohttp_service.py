"""An echo service on aiohttp with the whole shim in it; the console is at http://127.0.0.1:8000/shim.

Start it where config/shim.yaml is, with SHIM_OPERATOR_TOKEN and SHIM_HASH_KEY in the environment.
"""

import logging
import os

from aiohttp import web

from shim.aio import Shim

shim = Shim.open("config/shim.yaml")


async def app_socket(request: web.Request) -> web.StreamResponse:
    user, package = request.query["user"], request.query["package"]  # use your authentication here
    websocket = shim.websocket()  # instead of web.WebSocketResponse()
    await websocket.prepare(request)
    async with shim.register_app_connection(websocket, user, user, package) as connection:
        async for message in connection:
            await websocket.send_str(f"you said {message.data}")
    return websocket


app = web.Application()
app.cleanup_ctx.append(shim.lifespan)
app.add_subapp("/shim", shim.console())
app.router.add_get("/app", app_socket)

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    web.run_app(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
