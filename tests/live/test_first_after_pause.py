"""What is read first after a pause waits for the control's due timers (R3), in virtual time.

The sockets and the event loop are real, so the order of reading callbacks and timers is asyncio's own.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from selectors import DefaultSelector, SelectorKey

import aiohttp
import pytest

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.model import Connection, Duration, Kind, Monitors, Stage, Time, Verdict, VerdictKind
from shim.router import Decided, Observer, Opened, Paused, Router, Tracked, handles
from shim.runtime import driver as driver_module
from shim.runtime.driver import TICKS, Driver, clock
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings
from tests.live.moved_clock import MovedClock
from tests.live.servers import app_client, server
from tests.router.helpers import CANDIDATE, CONTROL, Journal, RecordingPort, S

CONTROL_SETTINGS = LegacySettings(heartbeat_interval=2 * S, timeout=6 * S)
CANDIDATE_SETTINGS = PerSessionSettings(heartbeat_interval=2 * S, timeout=6 * S, stall_threshold=S)
STEP: Duration = S // 20
ROUNDS = 12


class MovedLoop(asyncio.SelectorEventLoop):
    """Its time, which is the driver's, too, stands still until the test moves it.

    `looks` counts how often somebody looked at the time. The process can be stopped between two looks: at other
    places a stop makes no difference.
    """

    def __init__(self, selector: DefaultSelector) -> None:
        self._ticks = 1000 * S * TICKS
        self.looks = 0
        self.stops_after: dict[int, Callable[[], None]] = {}
        super().__init__(selector)

    def ticks(self) -> int:
        ticks = self._ticks
        self.looks += 1
        if (stop := self.stops_after.pop(self.looks, None)) is not None:
            stop()
        return ticks

    def time(self) -> float:
        return self.ticks() / 1e9

    def move(self, duration: Duration) -> None:
        self._ticks += duration * TICKS


class Selector(DefaultSelector):
    """Its process can be stopped before it waits; that wait finds what arrived, or as after SIGCONT nothing."""

    stop: Callable[[], None] | None = None
    finds = True

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if (stop := self.stop) is not None:
            self.stop = None
            stop()
            if not self.finds:
                return []
        return super().select(timeout)


class Running:
    """A router and its driver in a loop, with connections that are read from sockets of their own."""

    def __init__(self, loop: MovedLoop, selector: Selector) -> None:
        self.loop, self.selector = loop, selector
        self.start: Time = clock()
        self.journal = Journal()
        self.router = Router(
            Monitors((LegacyGlobal(), CONTROL_SETTINGS), (PerSession(), CANDIDATE_SETTINGS)),
            comparator=Comparator(tolerance=7 * S, window=9 * S),
            outcomes=Outcomes(S),
            observer=self.journal,
            start=self.start,
        )
        self.driver = Driver(self.router)
        self.touch = self.router.make_touch(driver_module.ticks, TICKS, self.driver)
        self.clients: dict[str, socket.socket] = {}
        self.tracked: dict[str, Tracked] = {}
        self.ports: dict[str, RecordingPort] = {}
        self.lateness: list[Duration] = []
        self.sockets = ExitStack()

    def connect(
        self, name: str, stage: Stage = Stage.LIVE, handle: Callable[[], None] = lambda: None
    ) -> None:
        """Each message of the connection is a sign of life, and is handled at once."""
        ours, theirs = socket.socketpair()
        self.sockets.enter_context(ours)
        self.clients[name] = self.sockets.enter_context(theirs)
        port = self.ports[name] = RecordingPort(clock)
        connection = Connection(name, Kind.APP, name, name, "com.example.app1")
        tracked = self.tracked[name] = self.router.open(connection, port, clock(), stage)
        touch = partial(self.touch, tracked)

        def read() -> None:
            ours.recv(100)
            touch()
            handle()

        self.loop.add_reader(ours, read)

    def send(self, *names: str) -> None:
        for name in names:
            self.clients[name].send(b"alive")

    async def run(self, duration: Duration) -> None:
        for _ in range(duration // STEP):
            self.loop.move(STEP)
            for _ in range(ROUNDS):
                await asyncio.sleep(0)

    async def stopped(self, duration: Duration, *names: str) -> None:
        """The process is stopped while it waits, and these clients send meanwhile."""

        def stop() -> None:
            self.send(*names)
            self.loop.move(duration)

        self.selector.stop = stop
        for _ in range(2 * ROUNDS):
            await asyncio.sleep(0)

    def since_start(self, at: Time | None) -> float | None:
        return None if at is None else round((at - self.start) / S, 2)

    @property
    def decided(self) -> list[tuple[str, float | None]]:
        """The control's decisions, each with its second; the candidate has decided nothing."""
        assert self.journal.decided_by(CANDIDATE) == []
        decisions = self.journal.decided_by(CONTROL)
        return [(decision.connection_id, self.since_start(decision.at)) for decision in decisions]

    @property
    def refuted(self) -> list[str]:
        """The connections on which the control alone decided, until they gave a sign of life (R9)."""
        verdicts = self.journal.verdicts
        assert all(v.kind is VerdictKind.ONLY_CONTROL and v.recovered for v in verdicts)
        return [verdict.connection.id for verdict in verdicts]


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


# -- Whatever is read first ----------------------------------------------------------------------------

SETTINGS = """
monitors:
  control: {plugin: legacy-global, heartbeat_interval: 2s, timeout: 6s}
  candidate: {plugin: per-session, heartbeat_interval: 2s, timeout: 6s, close_timeout: 1s, stall_threshold: 1s}
comparison: {tolerance: 7s, window: 9s, return_window: 4s}
guard: {count: 1000}
brake: {count: 1000}
"""


class Order(Observer):
    """What happened, in its order: a pause, decisions, verdicts, openings."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @handles(Paused)
    def _paused(self, pause: Paused) -> None:
        self.events.append("pause")

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self.events.append(f"{decided.role.value} decides")

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.events.append(f"{verdict.kind.value}, recovered: {verdict.recovered}")

    @handles(Opened)
    def _opened(self, opened: Opened) -> None:
        self.events.append("opened")


@asynccontextmanager
async def silent_client(
    folder: Path, clock: MovedClock
) -> AsyncIterator[
    tuple[Order, aiohttp.ClientWebSocketResponse, Callable[[], Awaitable[None]], str]
]:
    order = Order()
    async with server(folder, Stage.LIVE, SETTINGS) as it, aiohttp.ClientSession() as http:
        websocket = await app_client(http, it.url, "u", autoping=False)
        it.shim.observer.add(order)
        await clock.move(it.shim, 3)

        async def pause() -> None:
            clock.pause(7)
            for _ in range(50):
                await asyncio.sleep(0)

        yield order, websocket, pause, it.url
        await websocket.close()


@pytest.mark.real
@pytest.mark.parametrize(
    ("says", "then"),
    [
        ("message", "only_control, recovered: True"),
        ("pong", "only_control, recovered: True"),
        ("ping", None),
        ("close", "closed, recovered: False"),
    ],
)
async def test_r3_whatever_the_client_says_waits_for_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, then: str | None
) -> None:
    clock = MovedClock(monkeypatch)
    async with silent_client(tmp_path, clock) as (order, websocket, pause, _):
        if says == "message":
            await websocket.send_str('{"type": "heartbeat"}')
        elif says == "ping":
            await websocket.ping()
        elif says == "pong":
            await websocket.pong()
        else:
            await websocket._writer.close(1000)
        await pause()
        assert order.events[:3] == ["pause", "control decides"] + [then] * (then is not None)


@pytest.mark.real
async def test_r3_a_new_connection_waits_for_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MovedClock(monkeypatch)
    async with (
        silent_client(tmp_path, clock) as (order, _, pause, url),
        aiohttp.ClientSession() as http,
    ):
        opening = asyncio.create_task(app_client(http, url, "another"))
        await asyncio.sleep(0)
        await pause()
        await opening
        assert order.events[:3] == ["pause", "control decides", "opened"]
