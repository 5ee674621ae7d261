"""The clients of the tests, and what they write down: the truth that the record has to agree with."""

import asyncio
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.fleet.standstill import Span, Standstills
from tests.fleet_faults.member import Member
from tests.live.servers import app_client

RETURN_WITHIN = 4.0
"""Seconds: the `return_window` of the processes."""

_TRY_AGAIN = 0.1

_ROUNDS = 3
"""Rounds of the event loop from the reading of a ping until the client has it."""


@dataclass
class Stay:
    """A client that answers every ping, and wants to stay.

    Attributes:
        answers: the last ones: when it had the ping, and when it had answered, by the monotonic clock. At the
            end of the connection, when it saw that.
    """

    user: str
    member: Member
    starts: int
    pings: int = 0
    answers: deque[Span] = field(default_factory=lambda: deque(maxlen=20))
    ended: str | None = None

    @property
    def is_disturbed(self) -> bool:
        """Its connection ended, although its process was not killed."""
        return self.ended is not None and self.starts == self.member.starts and self.member.lives


@dataclass
class Visit:
    """A client that falls silent, is closed, and comes back elsewhere, or not. Times are of the event loop.

    Attributes:
        starts: of the process, when the client came.
        came_at: when it began to come: its process registered it between that and the acknowledgement, which
            a client on a busy machine sees late.
        tried_at: when it began to come back.
        back_at: when it was acknowledged again.
        back: what it did then.
    """

    user: str
    member: Member
    starts: int
    comes_back: bool
    came_at: float = 0.0
    closed_at: float | None = None
    tried_at: float | None = None
    back_at: float | None = None
    back: Stay | None = field(default=None, repr=False)

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
    """`http` must allow any number of connections; `standstills` are those of the running event loop."""

    def __init__(self, http: aiohttp.ClientSession, standstills: Standstills) -> None:
        self._http = http
        self._standstills = standstills
        self.stays: list[Stay] = []
        self.visits: list[Visit] = []
        self._is_over = asyncio.Event()
        self._are_visits_over = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._visiting: list[asyncio.Task[None]] = []

    def answers(self) -> dict[str, list[Span]]:
        """The last answers of each user, each from the earliest time at which the ping can have arrived."""
        back = [visit.back for visit in self.visits if visit.back is not None]
        return {
            stay.user: [Span(self._arrived(had), gave) for had, gave in stay.answers]
            for stay in (*self.stays, *back)
        }

    def _arrived(self, noted_at: float) -> float:
        earliest = noted_at
        for _ in range(_ROUNDS):
            earliest = self._standstills.earliest(earliest)
        return earliest

    async def settle(self, members: Sequence[Member], each: int) -> None:
        """At each process so many clients come to stay."""
        for member in members:
            for number in range(each):
                user = f"stays-{member.name}-{member.starts}-{number}"
                websocket = await app_client(self._http, member.process.url, user, autoping=False)
                stay = Stay(user, member, member.starts)
                self.stays.append(stay)
                staying = self._stay(stay, websocket, self._is_over)
                self._tasks.append(asyncio.create_task(staying))

    def visit(self, user: str, member: Member, others: Sequence[Member]) -> None:
        """A client comes to a process, and then back to the first of the others that answers."""
        visit = Visit(user, member, member.starts, comes_back=bool(others))
        self.visits.append(visit)
        self._visiting.append(asyncio.create_task(self._visit(visit, others)))

    @property
    def is_busy(self) -> bool:
        """A visitor has not been closed yet, or is on the way back."""
        for task in (*self._tasks, *self._visiting):
            if task.done():
                task.result()
        return any(
            visit.closed_at is None or (visit.comes_back and visit.back_at is None)
            for visit in self.visits
        )

    async def end_visits(self) -> None:
        """The visitors go in order; so do those who stayed at a process that is no more."""
        self._are_visits_over.set()
        await asyncio.gather(*self._visiting)
        self._are_visits_over = asyncio.Event()
        self._visiting.clear()
        self.visits.clear()
        self.stays = [stay for stay in self.stays if stay.ended is None]

    async def leave(self) -> None:
        """All clients go in order."""
        await self.end_visits()
        self._is_over.set()
        await asyncio.gather(*self._tasks)

    async def _stay(
        self, stay: Stay, websocket: aiohttp.ClientWebSocketResponse, is_over: asyncio.Event
    ) -> None:
        clock = asyncio.get_running_loop().time
        over = asyncio.create_task(is_over.wait())
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
                had = clock()
                with suppress(aiohttp.ClientError, OSError):
                    await websocket.pong(message.data)
                stay.answers.append(Span(had, clock()))
        stay.answers.append(Span(clock(), clock()))
        if not is_over.is_set():
            stay.ended = f"code {websocket.close_code}"
        over.cancel()
        await websocket.close()

    async def _visit(self, visit: Visit, others: Sequence[Member]) -> None:
        clock = asyncio.get_running_loop().time
        came = await self._come([visit.member], visit.user, autoclose=False)
        if came is None:
            self.visits.remove(visit)
            return
        visit.came_at, websocket = came
        visit.starts = visit.member.starts
        while (await websocket.receive()).type is aiohttp.WSMsgType.PING:
            pass
        visit.closed_at = clock()
        # To answer to the close would be a proof of life.
        with suppress(OSError, AttributeError):
            websocket.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        if others:
            visit.tried_at = clock()
            back = await self._come(others, visit.user)
            assert back is not None
            _, websocket = back
            visit.back_at = clock()
            visit.back = Stay(visit.user, visit.member, visit.starts)
            await self._stay(visit.back, websocket, self._are_visits_over)

    async def _come(
        self, members: Sequence[Member], user: str, **options: Any
    ) -> tuple[float, aiohttp.ClientWebSocketResponse] | None:
        """When the client began to come, and its connection, once it is acknowledged; None: these processes are
        lost."""
        clock = asyncio.get_running_loop().time
        while not all(member.is_lost for member in members):
            for member in members:
                if member.answers:
                    began = clock()
                    with suppress(aiohttp.ClientError, OSError, AssertionError, TypeError):
                        return began, await app_client(
                            self._http, member.process.url, user, autoping=False, **options
                        )
            await asyncio.sleep(_TRY_AGAIN)
        return None
