"""The WebSocket endpoints: `/glasses-ws` and `/app-ws`, which speaks the protocol of `@mentra/sdk`."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import WSMessage, WSMsgType, web

from shim.aio import Shim, WebSocket
from shim.aio.aiohttp_connection import AiohttpConnection
from shim.console.access.access import bearer_token
from shim.console.access.throttle import Throttle
from shim.console.access.trusted_proxies import TrustedProxies
from shim.model import SECOND, Duration, Kind, Time, seconds
from shim.server.auth import (
    TRY_AGAIN_LATER,
    ClientRefused,
    Gatekeeper,
    WrongKeyError,
    describe_claim,
    read_id,
)

log = logging.getLogger(__name__)

_SLOWED = 2.0
"""Seconds that a wrong key waits for its answer when there were several."""


_OVERHEAD = 1024
"""Bytes that each message counts in addition: to read a short one costs something, too."""

_BURST: Duration = 2 * SECOND
_LONGEST_WAIT: Duration = 5 * SECOND


class Budget:
    """How many bytes of messages one connection may have read in a second, after a burst of two seconds."""

    def __init__(self, rate: int, clock: Callable[[], Time]) -> None:
        self._rate = rate
        self._clock = clock
        self._paid_until: Time = clock() - _BURST

    def charge(self, size: int) -> Duration:
        """Count a message; answers how long to wait before it, and what comes after it, is read."""
        now = self._clock()
        start = max(self._paid_until, now - _BURST)
        self._paid_until = start + (size + _OVERHEAD) * SECOND // self._rate
        return min(max(self._paid_until - now, 0), _LONGEST_WAIT)


class Sockets:
    """The handlers of both endpoints, and the service's own protocol after the handshake."""

    def __init__(self, shim: Shim, gatekeeper: Gatekeeper) -> None:
        self._shim = shim
        self._gatekeeper = gatekeeper
        self._limits = shim.settings.server
        self._proxies = TrustedProxies(shim.settings.console.trusted_proxies)
        self._wrong_keys = Throttle(shim.clock)
        self._open_apps: Counter[str] = Counter()

    async def glasses(self, request: web.Request) -> web.StreamResponse:
        try:
            user = self._gatekeeper.user(request)
        except ClientRefused as refused:
            self._tell_refused(request, refused, Kind.GLASSES)
            return _unauthorized(refused)
        websocket = await self._upgrade(request)
        if isinstance(websocket, web.Response):
            return websocket
        try:
            self._admit(user, Kind.GLASSES, None)
        except ClientRefused as refused:
            self._tell_refused(request, refused, Kind.GLASSES, user)
            await _refuse(websocket, "connection_error", refused)
            return websocket
        async with self._shim.register_glasses_connection(websocket, user, user) as live:
            await _send(websocket, {"type": "connection_ack", "sessionId": user})
            await self._serve(live)
        return websocket

    async def apps(self, request: web.Request) -> web.StreamResponse:
        init: dict[str, Any] = {}
        if bearer_token(request) is not None:
            try:
                init = self._init_from_headers(request)
            except ClientRefused as refused:
                self._tell_refused(request, refused, Kind.APP, request.headers.get("x-user-id"))
                return _unauthorized(refused)
        websocket = await self._upgrade(request, introduced=bool(init))
        if isinstance(websocket, web.Response):
            return websocket
        try:
            init = init or await self._read_init(websocket)
            user, package = self._authenticate(init)
            self._admit(user, Kind.APP, package)
        except ClientRefused as refused:
            if isinstance(refused, WrongKeyError):
                await self._slow_down(request)
            if not self._shim.draining:
                self._tell_refused(request, refused, Kind.APP, *_claimed(init))
            if websocket.close_sent is None:
                await _refuse(websocket, "tpa_connection_error", refused)
            return websocket
        counted = self._gatekeeper.vouches_for(user)
        self._open_apps[package] += 1
        try:
            async with self._shim.register_app_connection(
                websocket, user, user, package, counted=counted
            ) as live:
                websocket.admit()
                await _send(websocket, {"type": "tpa_connection_ack", "settings": []})
                await self._serve(live)
        finally:
            self._open_apps[package] -= 1
        return websocket

    async def _upgrade(
        self, request: web.Request, *, introduced: bool = True
    ) -> WebSocket | web.Response:
        """The request's WebSocket, or an HTTP answer if there can be no WebSocket."""
        if self._shim.draining:
            return _error(503, "draining", "the service restarts", {"Retry-After": "1"})
        limits = self._limits
        websocket = self._shim.websocket(
            max_msg_size=limits.max_message_size,
            first_message_size=None if introduced else limits.first_message_size,
            compress=limits.compression,
        )
        if websocket.can_prepare(request):
            with suppress(ConnectionResetError):  # the client hung up, and never reads an answer
                await websocket.prepare(request)
                return websocket
        headers = {"Upgrade": "websocket"}
        return _error(426, "upgrade_required", "this is a WebSocket endpoint", headers)

    def _init_from_headers(self, request: web.Request) -> dict[str, Any]:
        claims = self._gatekeeper.claims(request)
        user, session = request.headers.get("x-user-id"), request.headers.get("x-session-id")
        if not user or not session:
            raise ClientRefused("x-user-id and x-session-id are needed")
        return {**claims, "sessionId": session, "userId": user}

    def _authenticate(self, init: dict[str, Any]) -> tuple[str, str]:
        """The user and the package of an app. Raises ClientRefused."""
        user, package = _claimed(init)
        package = read_id("packageName", package)
        user = read_id("sessionId", user)
        api_key = init.get("apiKey")
        if not isinstance(api_key, str) or not api_key:
            raise ClientRefused("apiKey is missing")
        self._gatekeeper.check_app(package, api_key)
        if init.get("userId", user) != user:
            raise ClientRefused("sessionId does not belong to the user")
        return user, package

    async def _read_init(self, websocket: WebSocket) -> dict[str, Any]:
        try:
            async with asyncio.timeout(seconds(self._limits.init_timeout)):
                message = await websocket.receive()
                while message.type in (WSMsgType.PING, WSMsgType.PONG):
                    message = await websocket.receive()
        except TimeoutError:
            raise ClientRefused("no tpa_connection_init came in time") from None
        if message.type is WSMsgType.ERROR:
            raise ClientRefused(f"the first message cannot be read: {message.data}")
        init = _parse(message, self._limits.first_message_size)
        if init is None or init.get("type") != "tpa_connection_init":
            raise ClientRefused("the first message must be tpa_connection_init")
        return init

    def _admit(self, user: str, kind: Kind, package: str | None) -> None:
        """Raises ClientRefused if this would be one connection too many for the user or for the app.

        A client that comes back takes the place of its older connection and does not count twice. The older
        connection is being closed, which takes a while if its client is frozen. A network change may replace
        all connections of a user at once, so up to twice the limit may be open, and never more.
        """
        session, identity = self._shim.sessions.get(user), (user, kind, package, None)
        returns = session is not None and session.member(identity) is not None
        full = self._open_apps[package or ""] >= self._limits.max_connections_per_app
        if full and not returns:
            raise ClientRefused("too many connections of this app", TRY_AGAIN_LATER)
        if session is None:
            return
        others = sum(member.connection.identity != identity for member in session.members())
        limit = self._limits.max_connections_per_user
        if others >= limit or session.open >= 2 * limit:
            raise ClientRefused("too many connections", TRY_AGAIN_LATER)

    async def _slow_down(self, request: web.Request) -> None:
        """After several wrong keys from one address, the answer to each further one comes later."""
        address = self._proxies.client(request)
        if self._wrong_keys.wait(address):
            await asyncio.sleep(_SLOWED)
        else:
            self._wrong_keys.failed(address)

    def _tell_refused(
        self,
        request: web.Request,
        refused: ClientRefused,
        kind: Kind,
        user: object = None,
        package: object = None,
    ) -> None:
        """One line about a client that is not served, with the ids it claims; never its key or token."""
        log.warning(
            "[User: %s] %s connection refused: %s, from %s: %s",
            describe_claim(self._shim.name_in_log(user) if isinstance(user, str) else None),
            kind.value.capitalize(),
            describe_claim(package),
            self._proxies.client(request),
            describe_claim(str(refused)),  # it may quote a token's header
        )

    async def _serve(self, live: AiohttpConnection) -> None:
        """The service's own protocol, in its simplest form: each message has an answer."""
        websocket, budget = live.websocket, Budget(self._limits.message_rate, self._shim.clock)
        async for message in live:
            if wait := budget.charge(len(message.data)):
                await asyncio.sleep(seconds(wait))
            body = _parse(message)
            answer = _INVALID if body is None else _ANSWERS.get(body.get("type"), _UNKNOWN)
            if answer is not None:
                await _send(websocket, answer)


_INVALID = {"type": "error", "code": "INVALID_MESSAGE", "message": "not a JSON object"}
_UNKNOWN = {"type": "error", "code": "UNKNOWN_TYPE", "message": "unknown message type"}
_ANSWERS: dict[Any, dict[str, str] | None] = {
    "ping": {"type": "pong"},
    "heartbeat": None,
    "subscription_update": None,
    "pong": None,
    "tpa_connection_init": {
        "type": "error",
        "code": "ALREADY_INITIALIZED",
        "message": "once is enough",
    },
}


def _claimed(init: dict[str, Any]) -> tuple[Any, Any]:
    """The user and the package that an app claims, without any check."""
    session, package = init.get("sessionId"), init.get("packageName")
    if isinstance(session, str) and isinstance(package, str):
        session = session.removesuffix(f"-{package}")
    return session, package


def _parse(message: WSMessage, limit: int | None = None) -> dict[str, Any] | None:
    """The object in a message; None: there is none, or the message, inflated, is longer than the limit."""
    if message.type is not WSMsgType.TEXT or (limit is not None and len(message.data) > limit):
        return None
    try:
        body = json.loads(message.data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or not isinstance(body.get("type", ""), str):
        return None
    return body


async def _send(websocket: WebSocket, body: dict[str, Any]) -> None:
    """Send, unless a close began or the client hung up; then the handler reads on to the end."""
    with suppress(ConnectionResetError):
        await websocket.send_str(json.dumps({**body, "timestamp": datetime.now(UTC).isoformat()}))


async def _refuse(websocket: WebSocket, kind: str, refused: ClientRefused) -> None:
    """Send the reason in a message of this kind, and in the close frame."""
    reason = str(refused)
    await _send(websocket, {"type": kind, "message": reason})
    await websocket.close(code=refused.code, message=reason)


def _unauthorized(refused: ClientRefused) -> web.Response:
    return _error(401, "unauthorized", str(refused), {"WWW-Authenticate": "Bearer"})


def _error(status: int, error: str, message: str, headers: dict[str, str]) -> web.Response:
    return web.json_response({"error": error, "message": message}, status=status, headers=headers)
