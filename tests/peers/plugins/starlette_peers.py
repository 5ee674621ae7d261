"""A plugin of pytest for the suites of Starlette and FastAPI: their WebSocket tests over real sockets.

Their test client calls the application without a server. Here the application runs in uvicorn with the
shim's protocol, registers each connection that it accepts, and gets the frames of a real client.
"""

import asyncio
import contextlib
from typing import Any

import starlette.testclient
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shim.asgi import Shim
from shim.flags.targeting import everyone_at
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings

_Session = starlette.testclient.WebSocketTestSession


class RealSession(_Session):
    """A session of the test client: what a test sends and receives goes over a socket."""

    def __enter__(self) -> "RealSession":
        with contextlib.ExitStack() as stack:
            self.portal = stack.enter_context(self.portal_factory())
            self._fault: BaseException | None = None
            stack.callback(self._raise_fault)
            stack.callback(self.portal.call, self._stop)
            message = self.portal.call(self._start)
            self._raise_on_close(message)
            self.accepted_subprotocol = message["subprotocol"]
            self.extra_headers = message["headers"]
            stack.callback(self.close, 1000)
            self.exit_stack = stack.pop_all()
        return self

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    async def _start(self) -> dict[str, Any]:
        self._body: list[dict[str, Any]] = []
        self._client: Any = None
        settings = load_settings(None, monitor_types(plugin_manager()))
        self._shim = Shim(settings, everyone_at(Stage.LIVE).evaluate)
        await self._shim.__aenter__()
        config = uvicorn.Config(
            self._serve,
            ws="shim.asgi:WebSocketProtocol",
            port=0,
            lifespan="off",
            interface="asgi3",
            log_config=None,
        )
        self._server = uvicorn.Server(config)
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup()
        self._ticking = asyncio.create_task(self._server.main_loop())
        port = self._server.servers[0].sockets[0].getsockname()[1]
        try:
            self._client = await connect(
                f"ws://127.0.0.1:{port}/", subprotocols=self.scope["subprotocols"] or None
            )
        except InvalidStatus as refused:
            if self._fault is not None:
                raise self._fault from None
            response = refused.response
            self._body = [
                {"type": "websocket.http.response.body", "body": bytes(response.body or b"")}
            ]
            if self._closed is not None:
                return self._closed
            return {
                "type": "websocket.http.response.start",
                "status": response.status_code,
                "headers": [
                    (k.lower().encode(), v.encode()) for k, v in response.headers.raw_items()
                ],
            }
        headers = self._client.response.headers.raw_items()
        return {
            "type": "websocket.accept",
            "subprotocol": self._client.subprotocol,
            "headers": [
                (name.lower().encode(), value.encode())
                for name, value in headers
                if name.lower() not in _OF_THE_SERVER
            ],
        }

    _closed: dict[str, Any] | None = None

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, with the scope that the test asked for, and the extensions of the server."""
        asked = {**scope, **self.scope, "extensions": scope["extensions"]}

        async def sending(message: Any) -> None:
            if message["type"] == "websocket.close" and self._client is None:
                self._closed = message  # HTTP has no place for the code of a rejection
            await send(message)
            if message["type"] == "websocket.accept":
                self._shim.register_app_connection(scope, "user", "session", "com.example.app")

        try:
            await self.app(asked, receive, sending)
        except BaseException as error:
            self._fault = error
            raise

    async def _stop(self) -> None:
        if self._client is not None:
            await self._client.close()
        self._server.should_exit = True
        await self._ticking
        await self._server.shutdown()
        await self._shim.__aexit__()

    def send(self, message: Any) -> None:
        self.portal.call(self._send, message)

    async def _send(self, message: Any) -> None:
        with contextlib.suppress(ConnectionClosed):
            if message["type"] == "websocket.disconnect":
                await self._client.close(message["code"], message.get("reason") or "")
            elif message.get("text") is not None:
                await self._client.send(message["text"])
            else:
                await self._client.send(message["bytes"])

    def receive(self) -> Any:
        return self.portal.call(self._receive)

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return self._body.pop()
        try:
            data = await self._client.recv()
        except ConnectionClosed as closed:
            if self._fault is not None:
                raise self._fault from None
            close = closed.rcvd
            code, reason = (1006, "") if close is None else (close.code, close.reason)
            return {"type": "websocket.close", "code": code, "reason": reason}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}


_OF_THE_SERVER = {
    "upgrade",
    "connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-protocol",
    "date",
    "server",
}

starlette.testclient.WebSocketTestSession = RealSession  # type: ignore[misc]
