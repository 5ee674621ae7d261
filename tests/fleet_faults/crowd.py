"""The clients of the tests, and what they write down: the truth that the record has to agree with."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.fleet_faults.member import Member
from tests.live.servers import app_client

RETURN_WITHIN = 4.0
"""Seconds: the `return_window` of the processes."""

_TRY_AGAIN = 0.1

_STALL, _SUFFERS = 1.0, 5.0
"""Seconds: when the tests' own process stood still for so long, its clients could answer nobody, and may be
closed for that until so long afterwards."""


@dataclass
class Stay:
    """A client that answers every ping, and wants to stay."""

    member: Member
    starts: int
    pings: int = 0
    ended: str | None = None
    ended_at: float = 0.0

    @property
    def is_disturbed(self) -> bool:
        """Its connection ended, although its process was not killed."""
        return self.ended is not None and self.starts == self.member.starts and self.member.lives


@dataclass
class Visit:
    """A client that falls silent, is closed, and comes back elsewhere, or not. Times are of the event loop.

    Attributes:
        starts: of the process, when the client came.
        tried_at: when it began to come back.
        back_at: when it was acknowledged again.
    """

    user: str
    member: Member
    starts: int
    comes_back: bool
    opened_at: float = 0.0
    closed_at: float | None = None
    tried_at: float | None = None
    back_at: float | None = None

    @property
    def was_closed(self) -> bool:
        """Its process closed it, and did not die."""
        return (
            self.closed_at is not None and self.member.starts == self.starts and self.member.lives
        )

    @property
    def surely_returned(self) -> bool:
        return (
            self.closed_at is not None
            and self.back_at is not None
            and self.back_at - self.closed_at < RETURN_WITHIN - 0.5
        )


class Crowd:
    """`http` must allow any number of connections."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.stays: list[Stay] = []
        self.visits: list[Visit] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = asyncio.Event()
        self._stalls: list[tuple[float, float]] = []
        self._tasks.append(asyncio.create_task(self._notice_stalls()))

    def could_not_answer(self, at: float) -> bool:
        """Whether a client that was closed then may have been silent because the machine was busy."""
        return any(began <= at <= ended + _SUFFERS for began, ended in self._stalls)

    async def _notice_stalls(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._is_over.is_set():
            before = clock()
            await asyncio.sleep(_TRY_AGAIN)
            if clock() - before > _STALL:
                self._stalls.append((before, clock()))

    async def settle(self, members: Sequence[Member], each: int) -> None:
        """At each process so many clients come to stay."""
        for member in members:
            for number in range(each):
                user = f"stays-{member.name}-{member.starts}-{number}"
                websocket = await app_client(self._http, member.process.url, user, autoping=False)
                stay = Stay(member, member.starts)
                self.stays.append(stay)
                self._tasks.append(asyncio.create_task(self._stay(stay, websocket)))

    def visit(self, user: str, member: Member, others: Sequence[Member]) -> None:
        """A client comes to a process, and then back to the first of the others that answers."""
        visit = Visit(user, member, member.starts, comes_back=bool(others))
        self.visits.append(visit)
        self._tasks.append(asyncio.create_task(self._visit(visit, others)))

    @property
    def is_busy(self) -> bool:
        """A visitor has not been closed yet, or is on the way back."""
        for task in self._tasks:
            if task.done():
                task.result()
        return any(
            visit.closed_at is None or (visit.comes_back and visit.back_at is None)
            for visit in self.visits
        )

    def forget_visits(self) -> None:
        """What has been audited; and those who stayed at a process that is no more."""
        self.visits.clear()
        self.stays = [stay for stay in self.stays if stay.ended is None]

    async def leave(self) -> None:
        """All clients go in order."""
        self._is_over.set()
        await asyncio.gather(*self._tasks)

    async def _stay(self, stay: Stay, websocket: aiohttp.ClientWebSocketResponse) -> None:
        over = asyncio.create_task(self._is_over.wait())
        while not websocket.closed:
            receiving = asyncio.create_task(websocket.receive())
            await asyncio.wait((receiving, over), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
                with suppress(asyncio.CancelledError):
                    await receiving
                break
            message = receiving.result()
            if message.type is aiohttp.WSMsgType.PING:
                stay.pings += 1
                with suppress(aiohttp.ClientError, OSError):
                    await websocket.pong(message.data)
        if not self._is_over.is_set():
            stay.ended = f"code {websocket.close_code}"
            stay.ended_at = asyncio.get_running_loop().time()
        over.cancel()
        await websocket.close()

    async def _visit(self, visit: Visit, others: Sequence[Member]) -> None:
        clock = asyncio.get_running_loop().time
        websocket = await self._come([visit.member], visit.user, autoclose=False)
        visit.starts = visit.member.starts
        visit.opened_at = clock()
        while (await websocket.receive()).type is aiohttp.WSMsgType.PING:
            pass
        visit.closed_at = clock()
        # To answer to the close would be a proof of life.
        with suppress(OSError, AttributeError):
            websocket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        if others:
            visit.tried_at = clock()
            websocket = await self._come(others, visit.user)
            visit.back_at = clock()
            await self._stay(Stay(visit.member, visit.starts), websocket)

    async def _come(
        self, members: Sequence[Member], user: str, **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        while True:
            for member in members:
                if member.answers:
                    with suppress(aiohttp.ClientError, OSError, AssertionError, TypeError):
                        return await app_client(
                            self._http, member.process.url, user, autoping=False, **options
                        )
            await asyncio.sleep(_TRY_AGAIN)
