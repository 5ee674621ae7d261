"""Session coordination: what a WebSocket service tells the shim, whatever its WebSocket library.

The coordinator owns the router, the driver that wakes it, and the user sessions. An integration such as
`shim.aio` brings the live connections: each is the port of one socket, and reports what is read from it.

Rules: docs/design.md#r13, docs/design.md#r21, docs/design.md#r22, docs/design.md#r24.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, count, islice
from typing import Generic, TypeVar

from shim.capture.recorder import Recorder
from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRules
from shim.compare.fleet_returns import FleetReturns
from shim.compare.outcomes import Outcomes
from shim.flags.evaluation import Evaluation
from shim.model import SECOND, UNCOUNTED, Closing, Connection, Duration, Kind, Time, seconds
from shim.model.time import utc_day
from shim.model.visible_text import describe_id
from shim.router import BrakeChanged, Guard, Observer, Opened, Router, Tracked, handles
from shim.runtime.census import Census
from shim.runtime.coverage_meter import INTERVAL, CoverageMeter
from shim.runtime.cpu_meter import CpuMeter
from shim.runtime.driver import TICKS, Driver, begin_slice, clock, ticks
from shim.runtime.fanout import Fanout
from shim.runtime.garbage_freezer import GarbageFreezer
from shim.runtime.handover import Handover, Members
from shim.runtime.live_connection import RESTART, LiveConnection
from shim.runtime.sessions import LastClosings, Session
from shim.runtime.time_of_day import CHECK_INTERVAL, TimeOfDay
from shim.settings.settings import Settings

log = logging.getLogger(__name__)

ABNORMAL = 1006
"""The code for a close frame that never came (RFC 6455 section 7.1.5)."""

REPLACED = (1000, "replaced by a newer connection")

_CLOSE_TIMEOUT: Duration = 5 * SECOND
_DRAIN_STEP = 0.05

L = TypeVar("L", bound=LiveConnection)
T = TypeVar("T")


class _OnBrake(Observer):
    """Moves open connections when the brake is engaged or released."""

    def __init__(self, reassess: Callable[[], None]) -> None:
        self._reassess = reassess

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        self._reassess()


class Coordinator(Generic[L]):
    """Runs the monitors over the connections of one service.

    `evaluate` gives a user's stage at a registration (`Targeting`). `name_in_log` is how users are named in
    the log. `close_timeout` bounds the closings of the service, too. `in_fleet`: `fleet_returns` concludes
    the outcomes (R24).
    """

    clock: Callable[[], Time] = staticmethod(clock)

    def __init__(
        self,
        settings: Settings,
        evaluate: Callable[[str], Evaluation],
        observers: Sequence[Observer] = (),
        *,
        name_in_log: Callable[[str], str] = describe_id,
        in_fleet: bool = False,
    ) -> None:
        candidate = settings.monitors.candidate.settings
        self.settings = settings
        self.evaluate = evaluate
        self.name_in_log = name_in_log
        self.close_timeout: Duration = getattr(candidate, "close_timeout", _CLOSE_TIMEOUT)
        self.started = clock()
        self.wall = TimeOfDay()
        self.draining = False
        self.sessions: dict[str, Session[L]] = {}
        self.census = Census(self.started)
        self.closings = LastClosings()
        on_brake = _OnBrake(self.reassess)
        self.observer = Fanout([*observers, self.census, self.closings, on_brake])
        self.expected = ExpectedRules(settings.comparison.expected, utc_day(self.wall()))
        self._comparator = Comparator(
            tolerance=settings.comparison.tolerance,
            window=settings.comparison.window,
            expected=self.expected,
        )
        window = settings.comparison.return_window
        patience = settings.monitors.chosen.control_patience
        self.fleet_returns = FleetReturns(window, patience) if in_fleet else None
        self.router = Router(
            settings.monitors.chosen,
            comparator=self._comparator,
            outcomes=self.fleet_returns or Outcomes(window, patience),
            observer=self.observer,
            start=self.started,
            meter=CpuMeter(settings.monitors.call_limit),
            guard=Guard(settings.guard),
        )
        self.driver = Driver(self.router)
        self.handover = Handover(self.router, evaluate, clock, self.driver.hurry)
        self._touch = self.router.make_touch(ticks, TICKS, self.driver)
        self._coverage = CoverageMeter(
            self.router,
            self.census,
            heartbeat_interval=getattr(candidate, "heartbeat_interval", None),
            tell=self.observer.on,
            now=self.started,
        )
        self._minute = min(INTERVAL, settings.gate.grain)
        self._recorder: Recorder | None = None
        after = settings.gc_freeze
        self._freezer = GarbageFreezer(after, self.call_after) if after is not None else None
        self._ids = count(1)
        self._session_orders = count(1)

    @property
    def open_episodes(self) -> int:
        """Episodes that wait for their verdict."""
        return self._comparator.open_episodes

    def start(
        self,
        *,
        brake: str | None = None,
        on_timer: Callable[[Duration], None] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        """Begin to watch; called within the running loop.

        `brake` is the reason of a brake that was left engaged, `on_timer` is told by how much each timer
        came too late, and `recorder` captures what happens from now on.
        """
        if brake is not None:
            self.router.restore_brake(brake)
        self.driver.start(on_timer)
        if recorder is not None:
            self._recorder = recorder
            self.observer.add(recorder)
            self._touch = recorder.make_touch(self._touch)
            recorder.begin()
        if self._freezer is not None:
            self._freezer.start()
        self._tell_expired()
        self.driver.call_at(clock() + self._minute, self._each_minute)
        self.driver.call_at(clock() + CHECK_INTERVAL, self._check_wall_clock)

    def stop(self) -> None:
        """Stop watching: open episodes stay undecided."""
        self.driver.stop()
        self.router.shutdown(clock())
        self._coverage.measure(clock())
        if self._recorder is not None:
            self._recorder.close()
        if self._freezer is not None:
            self._freezer.stop()

    def _each_minute(self) -> None:
        now = clock()
        self._coverage.measure(now)
        today = utc_day(self.wall())
        if today != self.expected.today:
            self.expected.today = today
            self._tell_expired()
        self.driver.call_at(now + self._minute, self._each_minute)

    def _check_wall_clock(self) -> None:
        if (event := self.wall.check()) is not None:
            self.observer.on(event)
        self.driver.call_at(clock() + CHECK_INTERVAL, self._check_wall_clock)

    def _tell_expired(self) -> None:
        for rule in self.expected.expired:
            log.warning(
                "expected rule %r expired on %s: it matches nothing any more", rule.name, rule.until
            )

    # -- Registration -----------------------------------------------------------------------------

    def register(
        self,
        connect: Callable[[Connection, Session[L]], L],
        kind: Kind,
        user: str,
        session_id: str,
        package: str | None,
        instance: str | None = None,
        *,
        counted: bool = True,
    ) -> L:
        """Watch a connection of the kind of live connection that `connect` makes.

        An older connection of its identity is closed: the newer one wins. Not `counted`: nobody vouches that
        there is such a user. Until somebody does in this session, its connections are no evidence.
        """
        session = self.sessions.get(session_id)
        if session is None:
            order = next(self._session_orders)
            session = self.sessions[session_id] = Session(session_id, user, order, counted)
        elif self.handover.running or (counted and not session.counted):
            # The new connection is at the new stage at once; so move the other connections of the session now.
            session.counted |= counted
            others = [member.tracked for member in session.members()]
            self.handover.move(user, others, counted=session.counted)
        name = f"c{next(self._ids)}"
        connection = Connection(name, kind, user, session_id, package=package, instance=instance)
        session.open += 1
        older = session.member(connection.identity)
        if older is not None:
            older.close_by_application(*(RESTART if self.draining else REPLACED))
        live = connect(connection, session)
        if not live.ended:  # the client may have hung up meanwhile
            session.adopt(live)
            if self.draining:
                live.close_by_application(*RESTART)
        return live

    def watch(self, live: L) -> tuple[Tracked, Callable[[Tracked], None]]:
        connection = live.connection
        now, evaluation = self.driver.read_clock(), self.evaluate(connection.user)
        counted: bool = live.session.counted
        tracked = self.router.open(
            connection,
            live,
            now,
            evaluation.stage,
            placement=evaluation.placement if counted else UNCOUNTED,
        )
        self.observer.on(
            Opened(
                connection=connection,
                evaluation=evaluation,
                stage=tracked.stage,
                acting=tracked.acting,
                at=now,
                counted=counted,
            )
        )
        if self.router.any_wake(self.driver.due):
            self.driver.hurry()
        if log.isEnabledFor(logging.INFO):
            log.info(
                "[User: %s] %s connection registered%s",
                self.name_in_log(connection.user),
                connection.kind.value.capitalize(),
                "" if connection.package is None else f": {describe_id(connection.package)}",
            )
        return tracked, self._touch

    def call_after(self, delay: Duration, callback: Callable[[], None]) -> None:
        self.driver.call_at(clock() + delay, callback)

    # -- Stages (R21, R22) -------------------------------------------------------------------------

    def reassess(self) -> None:
        """The stages of users may have changed: move all open connections."""
        self.handover.start(self._members())

    def _members(self) -> Iterator[Members]:
        for session in list(self.sessions.values()):
            yield session.user, [live.tracked for live in session.members()]

    def engage_brake(self, reason: str, *, by_itself: bool = False) -> None:
        """Take everyone at `live` or `complete` back to `shadow`; `by_itself`: no person asked for that."""
        self.router.engage_brake(reason, clock(), by_itself=by_itself)

    def release_brake(self, reason: str) -> None:
        """Move everyone to the stage in the flags."""
        self.router.release_brake(reason, clock())

    # -- What live connections report -------------------------------------------------------------

    def pong(self, tracked: Tracked, payload: bytes) -> None:
        if self._recorder is not None:
            self._recorder.pong(tracked.connection.id)
        self.router.pong(tracked, payload, clock())

    def data(self, tracked: Tracked) -> None:
        now = self.driver.read_clock()
        if self._recorder is not None:
            self._recorder.data(tracked.connection.id, now)
        self.router.data(tracked, now)

    def spoke_after_close(self, tracked: Tracked) -> None:
        self.router.spoke_after_close(tracked, self.driver.read_clock())

    def gone(self, live: L) -> None:
        """The connection ended, or begins to end, and no monitor is the cause."""
        now = self.driver.read_clock()
        live.session.forget(live)
        if self._recorder is not None and live.tracked.closed_by is None:
            self._recorder.gone(live.connection.id, live.cause, now)
        if live.tracked.connection.id in self.router:
            self.router.close(live.tracked, now)

    def released(self, live: L) -> None:
        """The socket has ended; with its last socket a session ends."""
        live.tracked.unplug()
        session: Session[L] = live.session
        session.open -= 1
        if not session.open and self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self.router.session_ended(session.id)
        assert live.cause is not None
        connection, (intended, observed) = live.connection, live.codes
        closing = Closing(
            connection=connection,
            stage=live.tracked.stage,
            opened_at=live.tracked.opened_at,
            at=clock(),
            cause=live.cause,
            intended=intended,
            observed=ABNORMAL if observed is None else observed,
        )
        if log.isEnabledFor(logging.INFO):
            log.info(
                "[User: %s] %s connection ended: %s (cause %s, close code intended %s, observed %s)",
                self.name_in_log(connection.user),
                connection.kind.value.capitalize(),
                describe_id(connection.package or "unknown"),
                closing.cause,
                closing.intended,
                closing.observed,
            )
        self.observer.on(closing)

    # -- Shutdown ---------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Close every connection with 1012, spread over `server.drain`, and abort what does not end in time.

        To be called while the service still accepts and reads: connections that are not closed yet are
        judged as before, the replies are seen, and the drain ends as soon as every connection has ended.
        """
        self.draining = True
        loop, over = asyncio.get_running_loop(), seconds(self.settings.server.drain)
        started, number = loop.time(), self.census.open()
        # What is taken from a queue may be freed at once: a list of very many would be freed in one go.
        untold, told = _members_of(deque(self.sessions.values())), deque[L]()

        def tell(live: L) -> None:
            live.close_by_application(*RESTART)
            told.append(live)

        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(over + seconds(self.close_timeout)):
                    while self._anyone_left():
                        elapsed = loop.time() - started
                        due = int(number * elapsed / over) + 1 if elapsed < over else number
                        await _in_slices(tell, islice(untold, max(0, due - len(told))))
                        await asyncio.sleep(_DRAIN_STEP)
            await _in_slices(_end, chain(_taken(told), untold))
        finally:
            for live in chain(_taken(told), untold):
                _end(live)

    def _anyone_left(self) -> bool:
        return bool(self.sessions)


def _taken(queue: deque[T]) -> Iterator[T]:
    while queue:
        yield queue.popleft()


def _members_of(sessions: deque[Session[L]]) -> Iterator[L]:
    for session in _taken(sessions):
        yield from session.members()


def _end(live: LiveConnection) -> None:
    if not live.ended:
        live.close_by_application(*RESTART)
        live.abort()


async def _in_slices(do: Callable[[L], None], lives: Iterable[L]) -> None:
    """Do something to each of them; the event loop has its turns in between."""
    over = begin_slice()
    for live in lives:
        do(live)
        if over():
            await asyncio.sleep(0)
            over = begin_slice()
