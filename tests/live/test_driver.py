"""The driver: what is read before it lets the candidate judge (R3)."""

import asyncio
import socket
import time
from collections.abc import Callable
from selectors import DefaultSelector, SelectorKey

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.model import Connection, Kind, Monitors, Role, Stage
from shim.router import Router
from shim.runtime.driver import TICKS, Driver, clock, ticks
from shim_per_session import PerSession, PerSessionSettings
from tests.router.helpers import Journal, RecordingPort, S


class StoppedSelector(DefaultSelector):
    """Its process can be stopped while it waits: as after SIGCONT, that wait then finds nothing."""

    stop: Callable[[], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if (stop := self.stop) is not None:
            self.stop = None
            stop()
            return []
        return super().select(timeout)


async def judged_after_a_pause(selector: StoppedSelector) -> Journal:
    """A message comes in a pause that outlasts the deadline; one task reads it, another handles it."""
    journal = Journal()
    settings = PerSessionSettings(timeout=6 * S // 10, heartbeat_interval=10 * S)
    monitors = Monitors(None, (PerSession(), settings))
    outcomes, comparator = Outcomes(S), Comparator(tolerance=S, window=S)
    router = Router(
        monitors, comparator=comparator, outcomes=outcomes, observer=journal, start=clock()
    )
    driver = Driver(router)
    driver.start()
    connection = Connection("c1", Kind.APP, "u", "s", "com.example.app1")
    tracked = router.open(connection, RecordingPort(clock), clock(), Stage.COMPLETE)
    touch = router.make_touch(ticks, TICKS, driver)

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def read() -> None:
        arrived.put_nowait(await asyncio.get_running_loop().sock_recv(ours, 100))

    async def handle() -> None:
        await arrived.get()
        touch(tracked)

    def stop() -> None:
        theirs.send(b"alive")
        time.sleep(0.5)

    with ours, theirs:
        tasks = asyncio.create_task(read()), asyncio.create_task(handle())
        await asyncio.sleep(0.3)
        selector.stop = stop
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.2)
    driver.stop()
    assert driver.pauses == 1
    assert tracked.signs == 1
    return journal


def test_r3_what_arrived_in_a_pause_is_read_before_the_candidate_judges() -> None:
    """The pause is too short to move deadlines, and this port has no evidence: only the reading helps."""
    selector = StoppedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        journal = runner.run(judged_after_a_pause(selector))
    assert journal.decided_by(Role.CANDIDATE) == []
