"""The network is cut for 70 s under a thousand talking connections: what the guard makes of it (R6b).

The reference server runs in this process, its clients in another one, which is stopped meanwhile; when it
goes on, every second client is dead: it reads nothing and answers nothing, a close neither. All times
are the seed's divided by `speed`; at 1 it takes four minutes.

Whoever is held at the end of the cut and answers must be saved, the dead must be closed, no faster than
the guard lets anyone go who is not held.
"""

import asyncio
import json
import logging
import signal
import sys
import tempfile
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp

from shim.driver.driver import clock
from shim.model import SECOND, Connection, Decision, Role, Stage, Time, seconds
from shim.router import Observer
from tests.live.servers import app_client, server, until

TALK = 3.0
CUT = 70.0
HEARTBEAT, TIMEOUT, WINDOW, HOLD = 15.0, 45.0, 30.0, 30.0
SHARE = 0.1
AT_ONCE = 50
"""Handshakes in flight."""


# -- The cut --------------------------------------------------------------------------------------


def run(count: int = 1_000, stage: Stage = Stage.COMPLETE, speed: float = 4) -> None:
    """Raises RuntimeError if a client that answers in time is closed, or closes are not paced."""
    logging.disable()
    asyncio.run(_run(count, stage, speed))


class _Watch(Observer):
    """What became of the candidate's decisions, by user, and when."""

    def __init__(self) -> None:
        self.closed: dict[str, Time] = {}
        self.saved: set[str] = set()
        self.guarded: list[tuple[bool, Time]] = []

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        if acted:
            self.closed[connection.user] = clock()
        elif role is Role.CANDIDATE:
            self.saved.add(connection.user)

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        self.guarded.append((holding, now))


async def _run(count: int, stage: Stage, speed: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            server(Path(folder), stage, _settings(speed)) as it,
            talking(it.url, count, TALK / speed) as clients,
        ):
            watch, guard = _Watch(), it.shim.router.guard
            it.shim.observer.add(watch)
            assert guard is not None
            await asyncio.sleep(2 * HEARTBEAT / speed)
            await clients.ask("half dies")
            clients.process.send_signal(signal.SIGSTOP)
            cut = clock()
            await asyncio.sleep(CUT / speed)
            back = clock()
            users = {t.connection.id: t.connection.user for t in it.shim.router.connections()}
            held = {user for number, user in users.items() if number in guard}
            clients.process.send_signal(signal.SIGCONT)
            await until(lambda: not guard.holding, 300 / speed)
            answering = await clients.quiet()
            proofs = it.tally.proofs_of_life[Role.CANDIDATE]

    def since(at: Time) -> str:
        return f"{seconds(at - cut):.1f} s"

    alive = {user for user in held if not _dies(int(user[1:]))}
    dead = held - alive
    released = sorted(at for user, at in watch.closed.items() if user in held)
    before = [at for at in watch.closed.values() if at < back]
    wrongly = alive & watch.closed.keys()
    began, ended = (next(at for on, at in watch.guarded if on is state) for state in (True, False))
    window, allowed = int(WINDOW / speed * SECOND), int(SHARE * count)
    busiest = _busiest(sorted(watch.closed.values()), window)
    pace = (len(released) - 1) / seconds(released[-1] - released[0])
    print(
        f"{count} connections at {stage}, the network cut for {CUT / speed:g} s (the seed's times / {speed:g})\n"
        f"  {len(before)} closed until the guard holds, {since(began)} after the cut; {len(held)} held\n"
        f"  back after {since(back)}: {len(alive)} answer, {len(watch.saved)} saved, {len(wrongly)} closed "
        f"wrongly, {proofs} proofs of life\n"
        f"  {len(dead)} answer no more: {len(dead & watch.closed.keys())} closed, "
        f"{since(released[0])} to {since(released[-1])} after the cut, {pace:.2f} a second "
        f"(at most {allowed / window * SECOND:.2f}); at most {busiest} closes in any {WINDOW / speed:g} s\n"
        f"  calm {since(ended)} after the cut; {answering['open']} connections talk on",
        flush=True,
    )
    unanswered = answering["sent"] - answering["answered"]
    if wrongly or proofs or watch.saved != alive or answering["open"] != len(alive):
        raise RuntimeError("the guard did not save who answered in time")
    if not dead <= watch.closed.keys() or len(held) < count / 2 or busiest > allowed + 1:
        raise RuntimeError(f"the dead were not closed, or not paced; {unanswered} unanswered")


def _settings(speed: float) -> str:
    def ms(duration: float) -> str:
        return f"{duration / speed * 1000:.0f}ms"

    monitor = f"heartbeat_interval: {ms(HEARTBEAT)}, timeout: {ms(TIMEOUT)}"
    return (
        f"monitors:\n  control: {{plugin: legacy-global, {monitor}}}\n"
        f"  candidate: {{plugin: per-session, {monitor}, close_timeout: {ms(5)}, stall_threshold: {ms(5)}}}\n"
        f"comparison: {{tolerance: {ms(16)}, window: {ms(60)}, return_window: {ms(120)}}}\n"
        f"guard: {{window: {ms(WINDOW)}, share: {SHARE}, count: 20, hold: {ms(HOLD)}}}\n"
        "server: {drain: 0s}\n"
    )


def _busiest(times: list[Time], window: int) -> int:
    """The most closes within any window."""
    return max(bisect_right(times, at + window - 1) - n for n, at in enumerate(times))
