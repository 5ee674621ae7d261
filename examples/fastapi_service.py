"""An echo service on FastAPI with the whole shim in it; `console: {port: 8081}` has the console.

Start it where config/shim.yaml is, with SHIM_OPERATOR_TOKEN and SHIM_HASH_KEY in the environment.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, WebSocket

from shim.asgi import Shim

shim = Shim.open("config/shim.yaml")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with shim:
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/app")
async def app_socket(websocket: WebSocket, user: str, package: str) -> None:
    await websocket.accept()  # after your authentication
    async with shim.register_app_connection(websocket, user, user, package):
        async for message in websocket.iter_text():
            await websocket.send_text(f"you said {message}")


if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), ws="shim.asgi:WebSocketProtocol")
