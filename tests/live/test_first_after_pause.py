"""What is read first after a pause waits for the control's due timers (R3), in virtual time.

The sockets and the event loop are real, so the order of reading callbacks and timers is asyncio's own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from shim.model import Stage, Time
from shim.runtime import driver as driver_module
from shim.runtime.driver import clock
from tests.live.moved_loop import ROUNDS, MovedLoop, Running, Selector
from tests.router.helpers import CANDIDATE, CONTROL, S


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Runs a test in a loop whose time the test moves."""
    selector = Selector()
    loop = MovedLoop(selector)
    monkeypatch.setattr(driver_module, "ticks", loop.ticks)

    def run(test: Callable[[Running], Awaitable[None]], finds: bool = True) -> Running:
        selector.finds = finds
        it = Running(loop, selector)

        async def within() -> None:
            it.driver.start(it.lateness.append)
            await test(it)
            it.driver.stop()
            it.router.shutdown(clock())

        with asyncio.Runner(loop_factory=lambda: loop) as runner, it.sockets:
            runner.run(within())
        return it

    yield run
    loop.close()


both_orders = pytest.mark.parametrize(
    "finds", [True, False], ids=["reading first", "the late timer first"]
)


@both_orders
def test_r3_the_control_decides_before_what_arrived_is_read(
    run: Callable[..., Running], finds: bool
) -> None:
    async def test(it: Running) -> None:
        for name in ("a", "b", "c"):
            it.connect(name)
        await it.run(5 * S)
        await it.stopped(7 * S, "a", "b", "c")

    it = run(test, finds)
    assert it.decided == [("a", 12), ("b", 12), ("c", 12)]
    assert it.refuted == ["a", "b", "c"]
    assert [tracked.signs for tracked in it.tracked.values()] == [1, 1, 1]
    assert it.driver.pauses == 1
    assert 6.8 * S <= it.driver.paused_for <= 7 * S
    assert max(it.lateness) == it.driver.paused_for, "the late timer is told, too"


@both_orders
def test_r3_a_connection_that_the_acting_control_ends_has_spoken_after_its_end(
    run: Callable[..., Running], finds: bool
) -> None:
    async def test(it: Running) -> None:
        it.connect("a", Stage.SHADOW)
        await it.run(5 * S)
        await it.stopped(7 * S, "a")

    it = run(test, finds)
    end = it.start + 12 * S
    assert it.ports["a"].endings == [(end, "terminate")]
    assert it.journal.proofs == [("a", CONTROL, end)]
    assert it.decided == [("a", 12)]


@both_orders
@pytest.mark.parametrize("late", [True, False], ids=["arrives in the second pause", "waits unread"])
def test_r3_a_pause_while_what_arrived_in_a_pause_is_read(
    run: Callable[..., Running], finds: bool, late: bool
) -> None:
    """The first message blocks the loop. Then the second connection is due, whose message is read next."""

    async def test(it: Running) -> None:
        def block() -> None:
            if it.tracked["a"].signs == 1:
                it.loop.move(7 * S)
                it.send(*("ab" if late else "a"))

        it.connect("a", handle=block)
        it.connect("b")
        await it.run(4 * S)
        it.send("b")
        await it.run(1 * S)
        await it.stopped(3 * S, *("a" if late else "ab"))

    it = run(test, finds)
    assert it.decided == [("a", 8), ("b", 15), ("a", 15)]
    assert sorted(it.refuted) == ["a", "a", "b"]
    assert it.driver.pauses == 2
    assert 9.8 * S <= it.driver.paused_for <= 10 * S


def test_r3_a_loop_that_is_busy_with_reading_is_not_stopped(run: Callable[..., Running]) -> None:
    """The control's timer comes due meanwhile; it comes when all is read, as in the original."""
    names = [f"c{n}" for n in range(20)]

    async def test(it: Running) -> None:
        for name in names:
            it.connect(name, handle=lambda: it.loop.move(S // 10))
        await it.run(59 * S // 10)
        it.send(*names)
        for _ in range(ROUNDS):
            await asyncio.sleep(0)

    it = run(test)
    assert it.decided == []
    assert [tracked.signs for tracked in it.tracked.values()] == [1] * 20


def test_r3_a_loop_that_is_never_in_time_does_not_keep_the_candidate_from_judging(
    run: Callable[..., Running],
) -> None:
    kept: list[Time] = []

    async def test(it: Running) -> None:
        it.connect("a", Stage.COMPLETE)
        it.driver.call_at(clock(), lambda: kept.append(clock()))
        for _ in range(60):
            it.loop.move(S // 3)
            await asyncio.sleep(0)

    it = run(test)
    assert kept, "the deadlines of closing handshakes are kept"
    assert len(it.journal.decided_by(CANDIDATE)) == 1
    assert it.driver.pauses > 40


@pytest.mark.parametrize("arrives", ["in the pause", "after the pause"])
@pytest.mark.parametrize("paused_before", [False, True])
@pytest.mark.parametrize("look", range(1, 61))
def test_r3_the_process_is_stopped_at_any_place(
    run: Callable[..., Running], look: int, paused_before: bool, arrives: str
) -> None:
    """The candidate takes no pause for silence, wherever the driver is when the process is stopped."""

    async def test(it: Running) -> None:
        def stop() -> None:
            if arrives == "in the pause":
                it.send("a", "b")
            it.loop.move(7 * S)

        it.connect("a")
        it.connect("b", Stage.COMPLETE)
        await it.run(4 * S)
        it.send("a", "b")
        await it.run(1 * S)
        it.loop.stops_after[it.loop.looks + look] = stop
        if paused_before:
            await it.stopped(S // 2)
        await it.run(3 * S)
        assert not it.loop.stops_after
        it.send("a", "b")
        await it.run(1 * S)

    it = run(test)
    assert it.journal.decided_by(CANDIDATE) == []
    assert it.ports["a"].endings == it.ports["b"].endings == []
    # A pause begins when the timer was due, a tick after the stop at the latest.
    stopped = 7 * S + paused_before * S // 2
    assert stopped - 3 * S // 10 <= it.driver.paused_for <= stopped


def test_nothing_is_decided_in_a_pause_that_nobody_is_to_judge(run: Callable[..., Running]) -> None:
    async def test(it: Running) -> None:
        it.connect("a")
        await it.run(5 * S)
        it.driver.stop_judging()
        await it.stopped(7 * S, "a")

    it = run(test)
    assert it.decided == []
    assert it.driver.pauses == 0
