"""A rollout to everyone and back by edits of the flags file, under thousands of talking connections.

The reference server runs in this process with the seed's times, its clients in another one. A client
sends a message each few seconds, once the one before was answered; it answers pings. Nobody may be
disconnected, no message may stay unanswered, and every connection is pinged at every stage.

The stall is how late a sleep of 5 ms ends, so it includes what other processes take from us; `busy` is
the CPU time that passed during one sleep, which does not. Both include looking at all connections, each
20 ms while they move and each second while they stay.
"""

import asyncio
import json
import logging
import os
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import aiohttp

from shim.ledger import SqliteReader
from shim.ledger.rows import BrakeRow, ClosingRow, DecisionRow, FlagsRow, GapRow, StageRow
from shim.model import Role, Stage
from tests.live.servers import ROLLOUT, Server, app_client, server

SETTINGS = "rollout: rollout.yaml\nserver: {drain: 0s}\n"
TALK = 3.0
STAY = 18
"""Seconds at each stage: longer than a heartbeat interval."""

WATCHING = {
    Stage.OFF: {Role.CONTROL},
    Stage.SHADOW: set(Role),
    Stage.LIVE: set(Role),
    Stage.COMPLETE: {Role.CANDIDATE},
}
_WAY = (Stage.OFF, Stage.SHADOW, Stage.LIVE, Stage.COMPLETE, Stage.SHADOW, Stage.COMPLETE, Stage.OFF)


# -- The rollout ----------------------------------------------------------------------------------


def run(count: int = 5_000) -> None:
    """Raises RuntimeError if anything was lost."""
    logging.disable()
    asyncio.run(_run(count))


async def _run(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = folder / "rollout.yaml"
        _edit(flags, Stage.OFF)
        async with server(folder, None, SETTINGS) as it, talking(it.url, count, TALK) as clients:
            stalls = Stalls()
            watching = asyncio.create_task(stalls.watch())

            async def step(what: str, act: Callable[[], None], stage: Stage, bad: bool) -> None:
                stalls.take()
                began = perf_counter()
                act()
                assert it.house.flags is not None
                while not (_all_at(it, stage, count) and bad is bool(it.house.flags.problem)):
                    if perf_counter() - began > 60:
                        raise RuntimeError(f"{what}: not everyone is at {stage} after 60 s")
                    await asyncio.sleep(0.02)
                took, moving = perf_counter() - began, stalls.take()
                await clients.ask("figures")
                for _ in range(STAY):
                    await asyncio.sleep(1)
                    _check(_all_at(it, stage, count), f"{what}: someone left {stage}")
                seen = await clients.ask("figures")
                _check(seen["open"] == count, f"{what}: {count - seen['open']} were disconnected")
                _check(not seen["unpinged"], f"{what}: {seen['unpinged']} were not pinged")
                print(
                    f"  {what:<22} all at {stage!s:<8} after {took:5.2f} s, stall {moving}; "
                    f"then stall {stalls.take()}, slowest answer {seen['slowest'] * 1000:.0f} ms",
                    flush=True,
                )

            print(f"{count} connections, a message each {TALK:g} s, {STAY} s at each stage")
            await step("all connected", lambda: None, Stage.OFF, False)
            for stage in (Stage.SHADOW, Stage.LIVE, Stage.COMPLETE):
                await step(f"file: 100 % {stage}", lambda s=stage: _edit(flags, s), stage, False)  # type: ignore[misc]
            await step("file: cut off", lambda: _cut_off(flags), Stage.COMPLETE, True)
            await step("brake engaged", lambda: it.shim.engage_brake("a rehearsal"), _WAY[4], True)
            await step("file: repaired", lambda: _edit(flags, _WAY[3]), Stage.SHADOW, False)
            await step("brake released", lambda: it.shim.release_brake("it is over"), _WAY[5], False)
            await step("file: off", lambda: _edit(flags, Stage.OFF), Stage.OFF, False)
            watching.cancel()

            end = await clients.quiet()
            lost = end["sent"] - end["answered"]
            print(f"  {count - end['open']} disconnected; {end['sent']} messages, {lost} unanswered")
            _check(end["open"] == count and not lost, "somebody or something was lost")
            _check(await asyncio.to_thread(it.house.ledger.flush, 60), "the ledger is behind")
            _tell_story(SqliteReader(folder / "shim.db"), count)


def _edit(flags: Path, stage: Stage) -> None:
    """As editors and tools do it: a new file takes the place of the old one."""
    new = flags.with_suffix(".new")
    new.write_text(ROLLOUT.replace("STAGE", '"off"').replace(f"{stage}: 0", f"{stage}: 100"))
    os.replace(new, flags)


def _cut_off(flags: Path) -> None:
    flags.write_text(flags.read_text()[:-30])


def _all_at(it: Server, stage: Stage, count: int) -> bool:
    """Whether all connections are at the stage, and watched as it wants; raises if one is unwatched."""
    tracked = list(it.shim.router.connections())
    _check(len(tracked) == count, f"{len(tracked)} of {count} connections are tracked")
    watchers = [{role for role in Role if t.instance(role) is not None} for t in tracked]
    _check(all(watchers), "a connection is watched by nobody")
    _check(all(t.acting in who for t, who in zip(tracked, watchers, strict=True)), "nobody acts")
    return all(
        t.stage is stage and t.acting is stage.acting and who == WATCHING[stage]
        for t, who in zip(tracked, watchers, strict=True)
    )


def _tell_story(ledger: SqliteReader, count: int) -> None:
    loads, brakes = ledger.rows(FlagsRow), ledger.rows(BrakeRow)
    refused = sum(load.problem is not None for load in loads)
    moves = Counter((r.before, r.after) for r in ledger.rows(StageRow, limit=10 * count))
    print(f"  ledger: {len(loads)} flags loads, {refused} of them refused; {len(brakes)} of the brake")
    print("  ledger: " + ", ".join(f"{a} -> {b} {n}" for (a, b), n in moves.items()))
    expected = {move: count for move in zip(_WAY, _WAY[1:], strict=False)}
    _check(moves == expected, "the ledger does not tell every change of a stage once")
    _check((len(loads), refused) == (7, 1), "the ledger tells other loads of the file")
    _check([b.engaged for b in brakes] == [False, True], "the ledger does not tell of the brake")
    none = [row.TABLE for row in (DecisionRow, ClosingRow, GapRow) if ledger.rows(row)]
    _check(not none, f"the ledger has rows of {', '.join(none)}")


def _check(good: bool, otherwise: str) -> None:
    if not good:
        raise RuntimeError(otherwise)


class Stalls:
    """The longest time, and CPU time, between two turns of the loop since they were last taken."""

    def __init__(self) -> None:
        self._stall = self._busy = 0.0

    async def watch(self) -> None:
        while True:
            began, computed = perf_counter(), thread_time()
            await asyncio.sleep(0.005)
            self._stall = max(self._stall, perf_counter() - began - 0.005)
            self._busy = max(self._busy, thread_time() - computed)

    def take(self) -> str:
        stall, busy, self._stall, self._busy = self._stall, self._busy, 0.0, 0.0
        return f"{stall * 1000:.0f} ms (busy {busy * 1000:.0f} ms)"
