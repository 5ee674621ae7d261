"""A driver in an event loop whose time a test moves, and connections whose sockets are real."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from selectors import DefaultSelector, SelectorKey

from shim.compare.comparator import Comparator
from shim.compare.outcomes import Outcomes
from shim.model import Connection, Duration, Kind, Monitors, Stage, Time, VerdictKind
from shim.router import Router, Tracked
from shim.runtime import driver as driver_module
from shim.runtime.driver import TICKS, Driver, clock
from shim_legacy_global import LegacyGlobal, LegacySettings
from shim_per_session import PerSession, PerSessionSettings
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
