"""One client of the fleet: how each behaviour is played with a real connection.

healthy, flapping   aiohttp's client, which answers pings by itself
silent              aiohttp's client without that: while silent it reads and answers nothing but
                    a close, from which the server learns that it had been alive (R14b)
frozen, sdk         a raw connection that stops reading: `WireClient.freeze`
dropped             see `_dropped`
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from shim.demo.scenario import PACKAGE, PERMANENT, RHYTHM, Behaviour, Span
from shim.demo.story import ABNORMAL, LEFT, OPEN
from shim.demo.wire import WireClient
from shim.model import Kind

Report = Callable[[Mapping[str, Any]], None]

_CONNECT_TIMEOUT = 10.0
_READ_ON = 1.0
"""Seconds (of this machine, not of the seed) to read what has arrived; then nothing more comes."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the clients share: where the server is, how fast time runs, and when the frozen thaw."""

    host: str
    port: int
    factor: float
    http: aiohttp.ClientSession
    thaw: asyncio.Event

    async def spend(self, span: Span) -> None:
        await asyncio.sleep(self.length(span))

    def length(self, span: Span) -> float:
        return random.uniform(span.least, span.most) / self.factor


class Member:
    def __init__(self, fleet: Fleet, plan: Mapping[str, Any], report: Report) -> None:
        self._fleet = fleet
        self._user: str = plan["user"]
        self._kind = Kind(plan["kind"])
        self._token: str | None = plan["token"]
        self._behaviour = Behaviour(plan["behaviour"])
        self._report = report

    async def run(self) -> None:
        """Live until cancelled; what goes wrong is reported, and tried again a little later."""
        play = _PLAYS[self._behaviour]
        await self._fleet.spend(RHYTHM.arrival)
        while True:
            try:
                await play(self)
                return
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                self._report({"event": "error", "text": f"{type(error).__name__}: {error}"})
                await self._fleet.spend(RHYTHM.reconnect)

    def _ended(self, how: int | str) -> None:
        self._report({"event": "end", "how": str(how)})

    # -- Connecting -------------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return "/glasses-ws" if self._kind is Kind.GLASSES else "/app-ws"

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    @property
    def _init(self) -> dict[str, str]:
        return {
            "type": "tpa_connection_init",
            "sessionId": f"{self._user}-{PACKAGE}",
            "packageName": PACKAGE,
            "apiKey": "dev",
        }

    def _check(self, answer: Any) -> None:
        wanted = "connection_ack" if self._kind is Kind.GLASSES else "tpa_connection_ack"
        if not isinstance(answer, dict) or answer.get("type") != wanted:
            raise ConnectionError(f"expected {wanted}, got {answer!r:.100}")
        self._report({"event": "open"})

    async def _connect(self, *, autoping: bool = True) -> aiohttp.ClientWebSocketResponse:
        url = f"http://{self._fleet.host}:{self._fleet.port}{self._path}"
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            socket = await self._fleet.http.ws_connect(
                url, headers=self._headers, autoping=autoping
            )
            if self._kind is Kind.APP:
                await socket.send_json(self._init)
            message = await socket.receive()
            while message.type is aiohttp.WSMsgType.PING:
                message = await socket.receive()
            self._check(message.json() if message.type is aiohttp.WSMsgType.TEXT else message.type)
        return socket

    async def _wire(self) -> WireClient:
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            wire = await WireClient.connect(
                self._fleet.host, self._fleet.port, self._path, self._headers
            )
            if self._kind is Kind.APP:
                wire.send(self._init)
            self._check(await wire.receive())
        return wire

    # -- The plays --------------------------------------------------------------------------------

    async def _healthy(self) -> None:
        while True:
            socket = await self._connect()
            speaking = asyncio.create_task(self._speak(socket))
            try:
                async for _ in socket:
                    pass
                self._ended(socket.close_code or ABNORMAL)
            finally:
                speaking.cancel()
                await _leave(socket)
            await self._fleet.spend(RHYTHM.reconnect)

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not socket.closed:
            await self._fleet.spend(RHYTHM.speaking)
            try:
                await socket.send_json({"type": "ping"})
            except ConnectionError:
                return

    async def _flapping(self) -> None:
        while True:
            socket = await self._connect()
            try:
                if (code := await self._listen(socket, RHYTHM.stay, answering=True)) is not None:
                    self._ended(code)
                else:
                    await socket.close()
                    self._ended(LEFT)
            finally:
                await _leave(socket)
            await self._fleet.spend(RHYTHM.leave)

    async def _silent(self) -> None:
        while True:
            socket = await self._connect(autoping=False)
            try:
                while True:
                    code = await self._listen(socket, RHYTHM.well, answering=True)
                    if code is None:
                        code = await self._beat(socket)
                    if code is None:
                        code = await self._listen(socket, RHYTHM.silence, answering=False)
                    if code is None:
                        code = await self._beat(socket)
                    if code is not None:
                        break
                    self._report({"event": "survived"})
                self._ended(code)
            finally:
                await _leave(socket)
            await self._fleet.spend(RHYTHM.reconnect)

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> int | str | None:
        """Give a sign of life; how the connection ended, if it did at this very moment."""
        try:
            await socket.send_json({"type": "heartbeat"})
        except ConnectionError:
            # What came before the end, a close code perhaps, is still to be read.
            return await self._listen(socket, RHYTHM.reconnect, answering=False) or ABNORMAL
        return None

    async def _listen(
        self, socket: aiohttp.ClientWebSocketResponse, span: Span, *, answering: bool
    ) -> int | str | None:
        """Read for so long; how the connection ended, if it did."""
        try:
            async with asyncio.timeout(self._fleet.length(span)):
                async for message in socket:
                    if answering and message.type is aiohttp.WSMsgType.PING:
                        await socket.pong(message.data)
        except TimeoutError:
            return None
        except ConnectionError:
            pass  # it ended while a ping was answered
        return socket.close_code or ABNORMAL

    async def _frozen(self) -> None:
        wire = await self._wire()
        try:
            await self._well(wire)
            wire.freeze()
            await self._fleet.thaw.wait()
            await self._wake(wire)
        finally:
            wire.cut()

    async def _sdk(self) -> None:
        while True:
            wire = await self._wire()
            try:
                await self._well(wire)
                wire.freeze()
                await self._fleet.spend(RHYTHM.outage)
                code = await self._wake(wire)
            finally:
                wire.cut()
            if code in PERMANENT:
                self._report({"event": "away"})
                return
            await self._fleet.spend(RHYTHM.reconnect)

    async def _dropped(self) -> None:
        """Gone without a close, and back on a new connection after the outage.

        A cut wire cannot be played on loopback without a firewall: a socket that is closed, or
        vanishes, answers the server's next ping with a reset. So the old connection goes on as with
        a load balancer or a NAT box that has lost the client behind it: its kernel acknowledges,
        nobody answers. To a monitor that is the same, as none looks at acknowledgements. What
        arrives there never reaches the client, which therefore comes back whatever the code was; it
        is reported all the same.
        """
        while True:
            wire = await self._wire()
            try:
                await self._well(wire)
                limbo = asyncio.create_task(wire.ending())
                try:
                    await self._fleet.spend(RHYTHM.outage)
                    self._ended(limbo.result() if limbo.done() else OPEN)
                finally:
                    limbo.cancel()
            finally:
                wire.cut()

    async def _well(self, wire: WireClient) -> None:
        """Answer pings for a while, then say something: the silence begins here."""
        try:
            async with asyncio.timeout(self._fleet.length(RHYTHM.well)):
                while await wire.receive() is not None:
                    pass
                raise ConnectionError("the connection ended while the client was well")
        except TimeoutError:
            wire.send({"type": "heartbeat"})

    async def _wake(self, wire: WireClient) -> int | None:
        """Read what arrived while frozen; the code, None if the connection is still open."""
        wire.thaw()
        code: int | None = None
        try:
            async with asyncio.timeout(_READ_ON):
                code = await wire.ending()
        except TimeoutError:
            self._ended(OPEN)
        else:
            self._ended(code)
        return code


async def _leave(socket: aiohttp.ClientWebSocketResponse) -> None:
    if not socket.closed:
        await socket.close()


_PLAYS: Mapping[Behaviour, Callable[[Member], Awaitable[None]]] = {
    Behaviour.HEALTHY: Member._healthy,
    Behaviour.FROZEN: Member._frozen,
    Behaviour.SILENT: Member._silent,
    Behaviour.DROPPED: Member._dropped,
    Behaviour.FLAPPING: Member._flapping,
    Behaviour.SDK: Member._sdk,
}
