"""The network is cut for 70 s under a thousand talking connections: what the guard makes of it (R6b).

The reference server runs in this process, its clients in another one, which is stopped meanwhile; when it
goes on, every second client is dead: it reads and answers nothing, a close neither. All times are the
seed's divided by `speed`. Whoever is held when the network is back and answers must be saved; the dead
must be closed, no faster than the guard lets closes pass.

Both monitors run, and the candidate acts. The brake must stay released, and nobody may be handed to the
control, which would terminate them all (R22).
"""

import asyncio
import logging
import os
import signal
import tempfile
from bisect import bisect_left
from pathlib import Path

from benchmarks.talkers import talking
from shim.model import Role, Stage, Time, seconds
from shim.router import BrakeChanged, Decided, GuardChanged, Observer, StageChanged, handles
from shim.runtime.driver import clock
from tests.live.servers import server
from tests.waiting import until

TALK = 3.0
HEARTBEAT, TIMEOUT, CUT, WINDOW, HOLD = 15.0, 45.0, 70.0, 30.0, 30.0
SHARE, COUNT = 0.1, 20


def run(count: int = 1_000, stage: Stage = Stage.LIVE, speed: float = 4) -> None:
    """A minute at the default speed, four at 1. Raises RuntimeError if the guard fails in anything."""
    logging.disable()
    asyncio.run(_run(count, stage, speed))


class _Watch(Observer):
    """What became of the candidate's decisions, by user, and when."""

    def __init__(self) -> None:
        self.closed_at: dict[str, Time] = {}
        self.saved: set[str] = set()
        self.guarded: dict[bool, Time] = {}
        self.brakes: list[str] = []
        self.moved = 0

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.role is Role.CANDIDATE and decided.acted:
            self.closed_at[decided.connection.user] = clock()
        elif decided.role is Role.CANDIDATE:
            self.saved.add(decided.connection.user)

    @handles(GuardChanged)
    def _guard(self, guard: GuardChanged) -> None:
        self.guarded[guard.holding] = guard.at

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self.brakes.append(brake.reason)

    @handles(StageChanged)
    def _moved(self, change: StageChanged) -> None:
        self.moved += 1


async def _run(count: int, stage: Stage, speed: float) -> None:
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        async with (
            server(Path(folder), stage, _settings(speed)) as it,
            talking(it.url, count, TALK / speed) as ask,
        ):
            it.shim.observer.add(watch)
            guard = it.shim.router.guard
            assert guard is not None
            await asyncio.sleep(2 * HEARTBEAT / speed)
            clients = (await ask({"do": "half_dies"}))["pid"]
            cut = clock()
            os.kill(clients, signal.SIGSTOP)
            await asyncio.sleep(CUT / speed)
            tracked = it.shim.router.connections()
            held = {t.connection.user for t in tracked if t.connection.id in guard}
            if len(held) < count / 2:
                raise RuntimeError(f"the guard holds {len(held)} only")
            back = clock()
            os.kill(clients, signal.SIGCONT)
            await until(lambda: not guard.holding, 600 / speed)
            await ask({"do": "quiet"})
            talk_on = (await ask({"do": "figures"}))["open"]
            proofs = it.tally.proofs_of_life[Role.CANDIDATE]
    alive = {user for user in held if int(user[1:]) % 2 == 0}
    dead, wrongly = held - alive, alive & watch.closed_at.keys()
    if not dead <= watch.closed_at.keys():
        raise RuntimeError(
            f"{len(dead - watch.closed_at.keys())} of {len(dead)} dead are not closed"
        )
    holding, calm = (seconds(watch.guarded[state] - cut) for state in (True, False))
    late = sorted(seconds(at - cut) for user, at in watch.closed_at.items() if user in held)
    passed = len(watch.closed_at) - len(late)
    window, allowed = WINDOW / speed, max(COUNT, SHARE * count)
    busiest = _busiest(sorted(map(seconds, watch.closed_at.values())), window)
    print(
        f"{count} connections at {stage}, cut for {CUT / speed:g} s (the seed's times / {speed:g}); "
        "seconds are since the cut\n"
        f"  {passed} closed, then from {holding:.1f} s on the guard held {len(watch.saved) + len(late)}\n"
        f"  back at {seconds(back - cut):.1f} s with {len(held)} held: {len(alive)} answer, of them "
        f"{len(alive & watch.saved)} saved, {len(wrongly)} closed; {proofs} proofs of life\n"
        f"  {len(dead)} are dead and closed, from {late[0]:.1f} to "
        f"{late[-1]:.1f} s, {(len(late) - 1) / (late[-1] - late[0]):.2f} a second "
        f"(may be {allowed / window:.2f}), at most {busiest} of all closes in {window:g} s\n"
        f"  calm at {calm:.1f} s; {talk_on} talk on; the brake: "
        f"{'; '.join(watch.brakes) or 'released'}; {watch.moved} moved to another stage",
        flush=True,
    )
    if wrongly or proofs or alive != watch.saved or talk_on != len(alive):
        raise RuntimeError("a client that answered in time was not saved")
    if watch.brakes or watch.moved:
        raise RuntimeError("an outage is no reason for the brake")
    if busiest > allowed + 1:
        raise RuntimeError("the closes were not paced")


def _settings(speed: float) -> str:
    def ms(duration: float) -> str:
        return f"{duration / speed * 1000:.0f}ms"

    both = f"heartbeat_interval: {ms(HEARTBEAT)}, timeout: {ms(TIMEOUT)}"
    return f"""
monitors:
  control: {{plugin: legacy-global, {both}}}
  candidate: {{plugin: per-session, {both}, close_timeout: {ms(5)}, stall_threshold: {ms(5)}}}
comparison: {{tolerance: {ms(16)}, window: {ms(60)}, return_window: {ms(120)}}}
gate: {{grain: {ms(60)}}}
brake: {{window: {ms(900)}}}
guard: {{window: {ms(WINDOW)}, share: {SHARE}, count: {COUNT}, hold: {ms(HOLD)}}}
server: {{drain: 0s}}
"""


def _busiest(times: list[float], window: float) -> int:
    """The most of these within any window."""
    return max(bisect_left(times, at + window) - n for n, at in enumerate(times))
