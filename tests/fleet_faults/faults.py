"""The faults: what is broken before the `yield`, and mended after it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from tests.fleet_faults.faulty_line import BreakPoint, FaultyLine
from tests.fleet_faults.member import Member
from tests.fleet_faults.troubled_fleet import TroubledFleet, wait_for

_Broken = Callable[[TroubledFleet, random.Random], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """Attributes:
    short, full: how many seconds it lasts in a short round and in a full one; None: there is no short one.
    recovers_in: how many seconds longer than after others it takes until every outcome is known.
    store_answers: whether somebody else reaches the store meanwhile.
    disk: which disk is filled; None: no disk.
    """

    name: str
    broken: _Broken
    short: float | None
    full: float
    store_answers: bool = True
    disk: str | None = None
    recovers_in: float = 0.0


FAULTS: dict[str, Fault] = {}


def _fault(
    short: float | None,
    full: float,
    *,
    store_answers: bool = True,
    disk: str | None = None,
    recovers_in: float = 0.0,
) -> Callable[[Callable[[TroubledFleet, random.Random], AsyncIterator[None]]], None]:
    def declare(work: Callable[[TroubledFleet, random.Random], AsyncIterator[None]]) -> None:
        name = work.__name__
        FAULTS[name] = Fault(
            name,
            asynccontextmanager(work),
            short,
            full,
            store_answers=store_answers,
            disk=disk,
            recovers_in=recovers_in,
        )

    return declare


@_fault(1, 5)
async def nothing(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """Only the clocks are apart: 0.3 s, 3 s and an hour."""
    yield


@_fault(0.5, 3, recovers_in=60)
async def process_lost(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """A process is killed and never started again; another one takes its place.

    It is waited for a minute, in which the tests go on with other faults.
    """
    member = chance.choice(fleet.living)
    await member.kill()
    fleet.forget(member)
    yield
    await fleet.add()


# -- The store -------------------------------------------------------------------------------------


@_fault(1, 30, store_answers=False)
async def store_frozen(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    with fleet.server.frozen():
        yield


@_fault(1, 4, store_answers=False)
async def store_killed(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    fleet.server.kill()
    yield
    await asyncio.to_thread(fleet.server.start)


@_fault(0.5, 3, store_answers=False)
async def backend_killed(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """PostgreSQL then ends all others, and recovers."""
    os.kill(chance.choice(await asyncio.to_thread(fleet.server.backends)), signal.SIGKILL)
    yield
    await wait_for(fleet.server.answers, "PostgreSQL has recovered")


@_fault(0.5, 3, store_answers=False)
async def store_restarted(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    await asyncio.to_thread(chance.choice((fleet.server.stop, fleet.server.stop_at_once)))
    yield
    await asyncio.to_thread(fleet.server.start)


@_fault(1, 5, store_answers=False, disk="server")
async def store_disk_full(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """What PostgreSQL frees meanwhile is taken, too."""
    filling = asyncio.create_task(_keep_full(fleet))
    yield
    filling.cancel()
    fleet.server_disk.free()
    await wait_for(fleet.server.answers, "PostgreSQL has room again")


async def _keep_full(fleet: TroubledFleet) -> None:
    while True:
        await asyncio.to_thread(fleet.server_disk.fill)
        await asyncio.sleep(0.1)


@_fault(1, 5, disk="outbox")
async def outbox_disk_full(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    member = chance.choice(fleet.living)
    await asyncio.to_thread(member.disk.fill)
    yield
    member.disk.free()


# -- The lines -------------------------------------------------------------------------------------


@_fault(1, 5)
async def lines_cut(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    for line in _some_lines(fleet, chance):
        line.refuses = True
        line.cut()
    yield
    _heal(fleet)


@_fault(1, 15)
async def lines_slow(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    slow = chance.choice((0.2, 1.0, 5.0))
    for line in _some_lines(fleet, chance):
        line.delay = slow
    yield
    _heal(fleet)


@_fault(1, 15)
async def lines_silent(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """Nobody is told that nothing is passed on, and the connections of that time never work again."""
    for line in _some_lines(fleet, chance):
        line.silent = True
    yield
    _heal(fleet)


@_fault(1, 15)
async def silent_after_login(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """New connections can be opened, and nothing can be done with them."""
    for line in _some_lines(fleet, chance):
        line.breaks_at = BreakPoint.AFTER_LOGIN
        line.cut()
    yield
    _heal(fleet)


@_fault(None, 15, recovers_in=30)
async def silent_at_rows(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """The store waits for rows that never come, with the locks of the process, whose line stays up."""
    for line in _some_lines(fleet, chance):
        line.breaks_at = BreakPoint.SILENT_AT_ROWS
    yield
    _heal(fleet)


@_fault(1, 4)
async def reset_in_copy(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    _break_at(fleet, BreakPoint.IN_COPY)
    yield
    _heal(fleet)


@_fault(1, 4)
async def reset_before_commit(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    _break_at(fleet, BreakPoint.BEFORE_COMMIT)
    yield
    _heal(fleet)


@_fault(1, 4)
async def reset_after_commit(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    _break_at(fleet, BreakPoint.AFTER_COMMIT)
    yield
    _heal(fleet)


def _some_lines(fleet: TroubledFleet, chance: random.Random) -> list[FaultyLine]:
    members = chance.sample(fleet.members, chance.randint(1, len(fleet.members)))
    return [member.line for member in members]


def _break_at(fleet: TroubledFleet, point: BreakPoint) -> None:
    for member in fleet.members:
        member.line.breaks_at = point


def _heal(fleet: TroubledFleet) -> None:
    for member in fleet.members:
        member.line.heal()


# -- The processes ---------------------------------------------------------------------------------


@_fault(0.5, 3)
async def process_killed(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    member = chance.choice(fleet.living)
    await member.kill()
    yield
    await _restart(fleet, member)


@_fault(0.5, 3)
async def leader_killed(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    leader = await fleet.find_leader()
    await leader.kill()
    await _is_followed(fleet, leader)
    yield
    await _restart(fleet, leader)


@_fault(0.5, 3)
async def leader_frozen(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    leader = await fleet.find_leader()
    leader.freeze()
    await _is_followed(fleet, leader)
    yield
    leader.thaw()


@_fault(0.5, 3, store_answers=False)
async def start_without_store(fleet: TroubledFleet, chance: random.Random) -> AsyncIterator[None]:
    """A process is killed, and serves again at once although the store is away."""
    await asyncio.to_thread(fleet.server.stop)
    member = chance.choice(fleet.living)
    await member.kill()
    await _restart(fleet, member)
    yield
    await asyncio.to_thread(fleet.server.start)


async def _restart(fleet: TroubledFleet, member: Member) -> None:
    await member.start()
    await fleet.crowd.settle([member], each=1)


async def _is_followed(fleet: TroubledFleet, leader: Member) -> None:
    async def another_leads() -> bool:
        return await fleet.leader() not in (None, leader)

    fleet.takeovers.append(await wait_for(another_leads, "another process takes over"))
