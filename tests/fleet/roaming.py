"""What the clients of a fleet do: they fall silent, freeze, leave, and come back anywhere, or never.

The clients only know the settings' timeout and return window, and keep away from its end by a second, so that
what they wrote down says what has to come out.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random

from tests.fleet.roaming_client import RoamingConnection, Stay, connect, leave_all, now
from tests.fleet.standstill import Standstills, heartbeat


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: of the monitors' settings (both have the same), and of the return window; `margin`: clients do
    nothing so near to a border between two outcomes; `calm`: they stay at least and at most so long."""

    interval: float
    timeout: float
    window: float
    margin: float
    calm: tuple[float, float]

    @property
    def longest_window(self) -> float:
        """From what the client sees of an action."""
        return self.interval + self.window


_LEAVES, _FREEZES, _REPLACED = 0.15, 0.3, 0.2
"""Probabilities."""

_AFTER = {"at once": 30, "soon": 25, "twice": 15, "in time": 10, "late": 10, "never": 10}
"""When a client that was closed comes back, and how often that is so."""

_SOON = 0.05, 2.0
"""Seconds."""


@dataclass
class Log:
    """What all clients wrote down: their connections by user, and the attempts that failed.

    `standstills`: of each process on the way from the fleet to these notes, the clients' own first.
    """

    stays: dict[str, list[Stay]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    standstills: list[Standstills] = field(default_factory=list)

    def all_stays(self) -> list[Stay]:
        return [stay for stays in self.stays.values() for stay in stays]


class Roamer:
    """One user with one app, which has one connection most of the time."""

    def __init__(self, user: str, port: int, times: Times, log: Log, random: Random) -> None:
        self._user = user
        self._port = port
        self._times = times
        self._log = log
        self._random = random
        self._open: list[RoamingConnection] = []
        log.stays[user] = []

    async def roam(self, until: float) -> None:
        """Live until this time of day; afterwards what is open stays open."""
        await self._open_one()
        while now() < until:
            if not self._open:
                return
            await asyncio.sleep(self._random.uniform(*self._times.calm))
            if self._lost_some():
                # A living client was closed: the machine was too slow for it, or the monitor is wrong.
                await asyncio.sleep(self._random.uniform(*_SOON))
                await self._open_one()
            elif self._random.random() < _LEAVES:
                await self._leave()
            else:
                await self._fall_silent()

    @property
    def open_connections(self) -> list[RoamingConnection]:
        return self._open

    async def _leave(self) -> None:
        for connection in self._open:
            connection.leave(politely=self._random.random() < 0.5)
        self._open.clear()
        await asyncio.sleep(self._random.uniform(0.1, 3))
        await self._open_one()

    async def _fall_silent(self) -> None:
        times, (first, *others) = self._times, self._open
        self._open = []
        self._silence(first)
        for connection in others:
            # Of two silences that begin together nobody could say which one ends first.
            await asyncio.sleep(times.interval + times.margin)
            self._silence(connection)
        replaced = not others and self._random.random() < _REPLACED
        if replaced:
            # After the last sign of life, and well before the monitor acts.
            await asyncio.sleep(times.margin)
            await self._open_one()
        await asyncio.gather(*(connection.ended for connection in (first, *others)))
        for connection in (first, *others):
            connection.leave(politely=False)
        if not replaced:
            assert first.stay.ended_at is not None
            await self._come_back(first.stay.ended_at)

    def _silence(self, connection: RoamingConnection) -> None:
        if self._random.random() < _FREEZES:
            connection.freeze()
        else:
            connection.be_mute()

    async def _come_back(self, ended_at: float) -> None:
        """Come back, or never, after a connection that ended then."""
        times, random = self._times, self._random
        when = random.choices([*_AFTER], [*_AFTER.values()])[0]
        if when == "soon":
            await asyncio.sleep(random.uniform(*_SOON))
        elif when == "in time":
            await asyncio.sleep(ended_at + times.window - times.margin - now())
        elif when == "late":
            await asyncio.sleep(times.longest_window + times.margin)
        if when == "twice":
            await asyncio.gather(self._open_one(), self._open_one())
        elif when != "never":
            await self._open_one()

    def _lost_some(self) -> bool:
        open_now = [connection for connection in self._open if connection.stay.end is None]
        lost = len(open_now) < len(self._open)
        for connection in self._open:
            if connection.stay.end is not None:
                connection.leave(politely=False)
        self._open = open_now
        return lost

    async def _open_one(self) -> None:
        try:
            connection = await connect(self._user, self._port)
        except OSError as error:
            self._log.failed.append(f"{self._user}: {error}")
            return
        self._open.append(connection)
        self._log.stays[self._user].append(connection.stay)


@asynccontextmanager
async def roaming(
    clients: int, port: int, times: Times, *, seconds: float, arrival: float, seed: int
) -> AsyncIterator[Log]:
    """So many clients roam for so long, and all windows pass; what is open then is open in the context."""
    log, random = Log(), Random(seed)
    roamers = [
        Roamer(f"user{number}@example.com", port, times, log, Random(random.random()))
        for number in range(clients)
    ]
    begin = now()

    async def live(roamer: Roamer, number: int) -> None:
        await asyncio.sleep(arrival * number / clients)
        await roamer.roam(begin + arrival + seconds)

    with heartbeat(now) as standstills:
        log.standstills.append(standstills)
        async with asyncio.TaskGroup() as group:
            for roamer, number in zip(roamers, count()):
                group.create_task(live(roamer, number))
        last = max((stay.ended_at or 0.0 for stay in log.all_stays()), default=0.0)
        await asyncio.sleep(last + times.longest_window - now())
    try:
        yield log
    finally:
        await leave_all([one for roamer in roamers for one in roamer.open_connections])
