"""One client: a real WebSocket connection, and what each behaviour does with it.

A client that is suspended, frozen or cut off from its network takes nothing out of its socket's queue: it
answers no ping and no close. Its kernel acknowledges what arrives, as that of a suspended app does, or a
NAT box that has lost the client behind it. (A cable cannot be cut on loopback: a socket that vanishes
answers the server's next ping with a reset.)

Rules: docs/design.md#r14b.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType

from shim.demo.client_history import ABNORMAL, LEFT, OPEN
from shim.demo.demo_clients import NO_RECONNECT, PACKAGE, ClientBehaviour
from shim.model import Kind

Report = Callable[[Mapping[str, Any]], None]

_CONNECT_TIMEOUT = 10.0
_READ_ON = 1.0
"""Seconds (not divided by the factor) to read what has arrived; then nothing more comes."""

TimeRange = tuple[float, float]
"""A length of time, drawn evenly between two lengths in seconds of a real service."""

ARRIVAL = (0, 20)
MESSAGES = (40, 120)
ANSWERING = (20, 80)
SILENCE = (50, 54)
BETWEEN_PAUSES = (5, 20)
PAUSE = (34, 37)
OUTAGE = (85, 105)
FREEZE = (250, 280)
RECONNECT = (1, 10)
STAY = (10, 40)
ABSENCE = (4, 20)


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What all clients share: the addresses of the processes, and the factor."""

    urls: Sequence[str]
    factor: float
    http: aiohttp.ClientSession

    async def spend(self, time: TimeRange) -> None:
        await asyncio.sleep(self.draw(time))

    def draw(self, time: TimeRange) -> float:
        return random.uniform(*time) / self.factor


class DemoClient:
    """Created from a line of the plan; `report` takes the events that `client_main` describes."""

    def __init__(self, context: ClientContext, plan: Mapping[str, Any], report: Report) -> None:
        self._context = context
        self._spend = context.spend
        self._user: str = plan["user"]
        self._kind = Kind(plan["kind"])
        self._token: str | None = plan["token"]
        self._behaviour = ClientBehaviour(plan["behaviour"])
        home = plan["home"]
        # The one of the last connection is the last.
        self._processes = [*range(len(context.urls))] if home is None else [home]
        random.shuffle(self._processes)
        self._report = report

    async def run(self) -> None:
        """Connect again and again, until cancelled or until the SDK would not connect any more."""
        behaviour = self._behaviour
        await self._spend(ARRIVAL)
        while True:
            try:
                socket = await self._connect()
                try:
                    how = await _USE[behaviour](self, socket)
                finally:
                    if not socket.closed:
                        await socket.close()
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                self._report({"event": "error", "text": f"{type(error).__name__}: {error}"})
            else:
                if behaviour is ClientBehaviour.SDK and how in map(str, NO_RECONNECT):
                    self._report({"event": "away"})
                    return
                if behaviour is ClientBehaviour.FROZEN:
                    return
            await self._spend(ABSENCE if behaviour is ClientBehaviour.FLAPPING else RECONNECT)

    # -- Connecting -------------------------------------------------------------------------------

    async def _connect(self) -> ClientWebSocketResponse:
        """Connect to another process than last time, as a load balancer may decide; not to one that is down."""
        *others, last = self._processes
        random.shuffle(others)
        for process in (*others, last):
            try:
                socket = await self._connect_to(self._context.urls[process])
            except aiohttp.ClientConnectorError as error:
                refused = error
            else:
                self._processes.sort(key=process.__eq__)
                self._report({"event": "open", "process": process})
                return socket
        raise refused

    async def _connect_to(self, url: str) -> ClientWebSocketResponse:
        is_app = self._kind is Kind.APP
        url += "/app-ws" if is_app else "/glasses-ws"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            socket = await self._context.http.ws_connect(
                url, headers=headers, autoping=False, autoclose=False
            )
            if is_app:
                await socket.send_json(
                    {
                        "type": "tpa_connection_init",
                        "sessionId": f"{self._user}-{PACKAGE}",
                        "packageName": PACKAGE,
                        "apiKey": "dev",
                    }
                )
            message = await socket.receive()
            while message.type is WSMsgType.PING:
                message = await socket.receive()
        answer = message.json() if message.type is WSMsgType.TEXT else message.type
        wanted = "tpa_connection_ack" if is_app else "connection_ack"
        if not isinstance(answer, dict) or answer.get("type") != wanted:
            raise ConnectionError(f"expected {wanted}, got {answer!r:.100}")
        return socket

    # -- What each behaviour does with a connection; the answer is how the connection ended ---------

    async def _stay_healthy(self, socket: ClientWebSocketResponse) -> str:
        while (how := await self._answer(socket, MESSAGES)) is None:
            await _send(socket)
        return how

    async def _come_and_go(self, socket: ClientWebSocketResponse) -> str:
        return await self._answer(socket, STAY) or self._end(LEFT)

    async def _fall_silent(self, socket: ClientWebSocketResponse) -> str:
        """Read on while silent, so that the close is answered at once (R14b)."""
        pausing = self._behaviour is ClientBehaviour.PAUSING
        between, silence = (BETWEEN_PAUSES, PAUSE) if pausing else (ANSWERING, SILENCE)
        while True:
            for time, answering in ((between, True), (silence, False)):
                how = await self._read(socket, self._context.draw(time), answering=answering)
                if how is None and not await _send(socket):
                    # What came before the end, a close code perhaps, is still to be read.
                    how = await self._read(socket, _READ_ON, answering=False) or ABNORMAL
                if how is not None:
                    return self._end(how)
            self._report({"event": "survived"})

    async def _be_suspended(self, socket: ClientWebSocketResponse) -> str:
        if how := await self._answer(socket, ANSWERING):
            return how
        await _send(socket)
        frozen = self._behaviour is ClientBehaviour.FROZEN
        await self._spend(FREEZE if frozen else OUTAGE)
        # Read what has arrived meanwhile.
        return self._end(await self._read(socket, _READ_ON, answering=False) or OPEN)

    async def _answer(self, socket: ClientWebSocketResponse, time: TimeRange) -> str | None:
        """Answer pings for so long; how the connection ended, if it did."""
        how = await self._read(socket, self._context.draw(time), answering=True)
        return None if how is None else self._end(how, answering=True)

    def _end(self, how: str, *, answering: bool = False) -> str:
        self._report({"event": "end", "how": how, "answering": answering})
        return how

    async def _read(
        self, socket: ClientWebSocketResponse, length: float, *, answering: bool
    ) -> str | None:
        """Read for `seconds`; answers how the connection ended, if it ended."""
        try:
            async with asyncio.timeout(length):
                while True:
                    message = await socket.receive()
                    if message.type is WSMsgType.CLOSE:
                        return str(message.data)
                    if message.type in (WSMsgType.CLOSED, WSMsgType.ERROR):
                        return ABNORMAL
                    if answering and message.type is WSMsgType.PING:
                        # After an end the close code may still be in the queue.
                        answering = await _try(socket.pong(message.data))
        except TimeoutError:
            return None


async def _send(socket: ClientWebSocketResponse) -> bool:
    """Send a message, a sign of life; whether that was possible."""
    return await _try(socket.send_json({"type": "heartbeat"}))


async def _try(sending: Awaitable[None]) -> bool:
    try:
        await sending
    except ConnectionError:
        return False
    return True


_USE: Mapping[ClientBehaviour, Callable[[DemoClient, ClientWebSocketResponse], Awaitable[str]]] = {
    ClientBehaviour.HEALTHY: DemoClient._stay_healthy,
    ClientBehaviour.SDK: DemoClient._be_suspended,
    ClientBehaviour.DROPPED: DemoClient._be_suspended,
    ClientBehaviour.FLAPPING: DemoClient._come_and_go,
    ClientBehaviour.SILENT: DemoClient._fall_silent,
    ClientBehaviour.FROZEN: DemoClient._be_suspended,
    ClientBehaviour.PAUSING: DemoClient._fall_silent,
}
