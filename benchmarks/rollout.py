"""A rollout to everyone and back by edits of the flags file, under thousands of talking connections.

The reference server runs in this process with the seed's times, its clients in another one. Nobody may be
disconnected, no message may stay unanswered, and each connection must be watched by the monitors that its
stage wants and pinged at each stage.

The stall is how late a sleep of 5 ms ends, so it includes what other processes take from us; `busy` is
the CPU time that passed during one sleep, which does not; `gc` is the longest collection of garbage, whose
time goes with the number of objects in the process, most of them aiohttp's. All connections are looked
at each 50 ms while they move and each second while they stay, which is in all of these.
"""

import asyncio
import gc
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter, thread_time

from benchmarks.guard import TALK
from benchmarks.processes import raise_limit
from benchmarks.talkers import talking
from shim.ledger.rows import BrakeRow, ClosingRow, DecisionRow, FlagsRow, GapRow, StageRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.model import Stage
from tests.live.servers import ROLLOUT, Server, server

SETTINGS = "rollout: rollout.yaml\nserver: {drain: 0s}\n"
STAY = 18
"""Seconds at each stage: longer than a heartbeat interval."""

WATCHING = {
    Stage.OFF: (True, False),
    Stage.SHADOW: (True, True),
    Stage.LIVE: (True, True),
    Stage.COMPLETE: (False, True),
}
"""Whether the control, and whether the candidate, watches."""

_WAY = (
    Stage.OFF,
    Stage.SHADOW,
    Stage.LIVE,
    Stage.COMPLETE,
    Stage.SHADOW,
    Stage.COMPLETE,
    Stage.OFF,
)


# -- The rollout ----------------------------------------------------------------------------------


def run(count: int = 5_000) -> None:
    """Four minutes. Raises RuntimeError if anything was lost."""
    logging.disable()
    raise_limit()
    asyncio.run(_run(count))


async def _run(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = folder / "rollout.yaml"
        _edit(flags, Stage.OFF)
        async with server(folder, None, SETTINGS) as it, talking(it.url, count, TALK) as ask:
            stalls = Stalls()
            watching = asyncio.create_task(stalls.watch())

            async def step(
                what: str, act: Callable[[], None], stage: Stage, bad: bool = False
            ) -> None:
                stalls.take()
                began = perf_counter()
                act()
                assert it.shim.assembly.flags is not None
                while not (
                    _all_at(it, stage, count) and bad is bool(it.shim.assembly.flags.problem)
                ):
                    if perf_counter() - began > 60:
                        raise RuntimeError(f"{what}: not everyone is at {stage} after 60 s")
                    await asyncio.sleep(0.05)
                took, moving = perf_counter() - began, stalls.take()
                await ask({"do": "figures"})
                for _ in range(STAY):
                    await asyncio.sleep(1)
                    _check(_all_at(it, stage, count), f"{what}: someone left {stage}")
                seen = await ask({"do": "figures"})
                _check(seen["open"] == count, f"{what}: {count - seen['open']} were disconnected")
                _check(not seen["unpinged"], f"{what}: {seen['unpinged']} were not pinged")
                print(
                    f"  {what:<20} all at {stage!s:<8} after {took:5.2f} s   {moving:>15}   then "
                    f"{stalls.take():>15}   slowest answer {seen['slowest'] * 1000:.0f} ms",
                    flush=True,
                )

            print(
                f"{count} connections, a message each {TALK:g} s, {STAY} s at each stage; "
                "in ms: stall / busy / gc"
            )
            await step("all connected", lambda: None, Stage.OFF)
            for stage in (Stage.SHADOW, Stage.LIVE, Stage.COMPLETE):
                await step(f"file: 100 % {stage}", partial(_edit, flags, stage), stage)
            await step("file: cut off", lambda: _cut_off(flags), Stage.COMPLETE, bad=True)
            engage, release = it.shim.engage_brake, it.shim.release_brake
            await step("brake engaged", lambda: engage("a rehearsal"), Stage.SHADOW, bad=True)
            await step("file: repaired", partial(_edit, flags, Stage.COMPLETE), Stage.SHADOW)
            await step("brake released", lambda: release("it is over"), Stage.COMPLETE)
            await step("file: off", partial(_edit, flags, Stage.OFF), Stage.OFF)
            watching.cancel()

            await ask({"do": "quiet"})
            end = await ask({"do": "figures"})
            lost = end["sent"] - end["answered"]
            print(
                f"  {count - end['open']} disconnected; {end['sent']} messages, {lost} unanswered"
            )
            _check(end["open"] == count and not lost, "somebody or something was lost")
            _check(
                await asyncio.to_thread(it.shim.assembly.records.ledger.flush, 60),
                "the ledger is behind",
            )
            _tell_story(SqliteReader(folder / "shim.db"), count)


def _edit(flags: Path, stage: Stage) -> None:
    """As editors and tools do it: a new file takes the place of the old one."""
    new = flags.with_suffix(".new")
    new.write_text(ROLLOUT.replace("STAGE", '"off"').replace(f"{stage}: 0", f"{stage}: 100"))
    os.replace(new, flags)


def _cut_off(flags: Path) -> None:
    flags.write_text(flags.read_text()[:-30])


def _all_at(it: Server, stage: Stage, count: int) -> bool:
    """Whether all connections are at the stage, and watched as it wants; raises if one is unwatched.

    It keeps nothing for each connection: that would bring on a collection of garbage.
    """
    seen = settled = 0
    for one in it.shim.router.connections():
        seen += 1
        _check(one.acting is not None and one.instance(one.acting) is not None, "one is unwatched")
        watched_by = (one.control_instance is not None, one.candidate_instance is not None)
        settled += (
            one.stage is stage and one.acting is stage.acting and watched_by == WATCHING[stage]
        )
    _check(seen == count, f"{seen} of {count} connections are tracked")
    return settled == count


def _tell_story(ledger: SqliteReader, count: int) -> None:
    loads, brakes = ledger.rows(FlagsRow), ledger.rows(BrakeRow)
    refused = sum(load.problem is not None for load in loads)
    moves = Counter((r.before, r.after) for r in reversed(ledger.rows(StageRow, limit=10 * count)))
    print(
        f"  ledger: {len(loads)} flags loads, {refused} of them refused; {len(brakes)} of the brake"
    )
    print("  ledger: " + ", ".join(f"{a} -> {b} {n}" for (a, b), n in moves.items()))
    expected = dict.fromkeys(pairwise(_WAY), count)
    _check(moves == expected, "the ledger does not tell every change of a stage once")
    _check((len(loads), refused) == (7, 1), "the ledger tells other loads of the file")
    _check([b.engaged for b in brakes] == [False, True], "the ledger does not tell of the brake")
    none = [row.TABLE for row in (DecisionRow, ClosingRow, GapRow) if ledger.rows(row)]
    _check(not none, f"the ledger has rows of {', '.join(none)}")


def _check(good: bool, otherwise: str) -> None:
    if not good:
        raise RuntimeError(otherwise)


class Stalls:
    """The longest between two turns of the loop, since they were last taken (see the top)."""

    def __init__(self) -> None:
        self._stall = self._busy = self._garbage = self._began = 0.0
        gc.callbacks.append(self._collecting)

    async def watch(self) -> None:
        while True:
            began, computed = perf_counter(), thread_time()
            await asyncio.sleep(0.005)
            self._stall = max(self._stall, perf_counter() - began - 0.005)
            self._busy = max(self._busy, thread_time() - computed)

    def _collecting(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
        else:
            self._garbage = max(self._garbage, perf_counter() - self._began)

    def take(self) -> str:
        """In milliseconds."""
        longest = (self._stall, self._busy, self._garbage)
        self._stall = self._busy = self._garbage = 0.0
        return " / ".join(f"{each * 1000:.0f}" for each in longest)
