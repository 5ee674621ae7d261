"""GraphQL subscriptions by Strawberry on FastAPI, with the whole shim in them.

Strawberry accepts the WebSocket itself: the connection is registered right after that.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import strawberry
import uvicorn
from fastapi import FastAPI, WebSocket
from strawberry.fastapi import GraphQLRouter

from shim.asgi import Shim

shim = Shim.open("config/shim.yaml")


@strawberry.type
class Query:
    hello: str = "hello"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def news(self) -> AsyncGenerator[str, None]:
        yield "hello"
        await asyncio.Event().wait()  # there is no more news


class WatchedRouter(GraphQLRouter[None, None]):
    async def create_websocket_response(
        self, request: WebSocket, subprotocol: str | None
    ) -> WebSocket:
        websocket = await super().create_websocket_response(request, subprotocol)
        user = request.query_params["user"]  # use your authentication here
        shim.register_app_connection(websocket, user, user, "com.example.news")
        return websocket


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with shim:
        yield


app = FastAPI(lifespan=lifespan)
schema = strawberry.Schema(Query, subscription=Subscription)
app.include_router(WatchedRouter(schema), prefix="/graphql")

if __name__ == "__main__":
    logging.basicConfig(level="INFO")
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")), ws="shim.asgi:WebSocketProtocol")
