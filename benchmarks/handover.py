"""What it takes to move 100 000 open connections to another stage, and whether the loop stalls (R21)."""

import asyncio
from collections.abc import Coroutine
from time import perf_counter
from typing import Any

from benchmarks.bookkeeping import PER_SESSION, open_connections
from benchmarks.setting import make_router
from shim.flags import everyone_at
from shim.model import Stage
from shim.router import Tracked
from shim.runtime.driver import clock
from shim.runtime.handover import Handover

_WAY = (Stage.SHADOW, Stage.LIVE, Stage.COMPLETE, Stage.OFF)


def run(count: int) -> None:
    asyncio.run(_run(count))


async def _run(count: int) -> None:
    router = make_router(clock())
    tracked = open_connections(router, count, Stage.OFF, clock())
    sessions = [
        (group[0].connection.user, group)
        for group in (tracked[n : n + PER_SESSION] for n in range(0, count, PER_SESSION))
    ]
    idle = await _longest_stall(asyncio.sleep(1))
    for stage in _WAY:
        handover = Handover(router, everyone_at(stage).evaluate, clock, lambda: None)
        started = perf_counter()
        stall = await _longest_stall(_move(handover, sessions))
        took = perf_counter() - started
        assert all(one.stage is stage for one in tracked)
        print(
            f"{count} connections to {stage}: {took:.2f} s, longest stall {stall * 1000:.1f} ms "
            f"(idle: {idle * 1000:.1f} ms)"
        )


async def _move(handover: Handover, sessions: list[tuple[str, list[Tracked]]]) -> None:
    handover.start(sessions)
    await handover.finished()


async def _longest_stall(work: Coroutine[Any, Any, object]) -> float:
    """How long the loop did not turn at a time, while this was done."""
    done = asyncio.ensure_future(work)
    longest, before = 0.0, perf_counter()
    while not done.done():
        await asyncio.sleep(0)
        now = perf_counter()
        longest, before = max(longest, now - before), now
    await done
    return longest
