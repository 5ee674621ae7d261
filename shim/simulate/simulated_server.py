"""The server: the router, and the connections that it must know.

A connection whose client answers every ping needs no router: neither monitor will ever decide on it. So
the router gets a connection some intervals before trouble begins, early enough that its last sign of life
is the true one. It loses the connection when the client has answered again. Each session's monitors are
made when its first connection opens, skipped or not, so that they ping in their true rhythm. The router
also gets each connection that may be a return after a timeout (R15: docs/design.md#r15).

Rules: docs/design.md#r3, docs/design.md#r22.
"""

from collections.abc import Callable

from shim.compare.comparator import Comparator
from shim.compare.expected_rules import ExpectedRules
from shim.compare.outcomes import Outcomes
from shim.flags.targeting import Targeting
from shim.model import Cause, Closing, Decision, Duration, Stage, Time
from shim.router import Guard, Observer, Opened, Router
from shim.simulate.clients import ABNORMAL, NORMAL, Clients
from shim.simulate.defects import with_defects
from shim.simulate.fleet import Fleet
from shim.simulate.forecast import Forecast
from shim.simulate.link import Link, SimulatedConnection
from shim.simulate.recording import SimulationRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulated_coverage import CoverageCount
from shim.simulate.virtual_time import Clock, EventQueue

GOING_DOWN = 1012


class SimulatedServer:
    """One server, through all its restarts, with the clients that it serves."""

    def __init__(
        self,
        scenario: Scenario,
        rollout: Targeting,
        fleet: Fleet,
        *,
        events: EventQueue,
        clock: Clock,
        forecast: Forecast,
        observer: Observer,
        recorder: SimulationRecorder,
    ) -> None:
        self.starts: Time = 0
        self._brake: str | None = None
        self.coverage = CoverageCount(scenario)
        self._scenario = scenario
        self._rollout = rollout
        self._fleet = fleet
        self._events = events
        self._clock = clock
        self._monitors = with_defects(scenario)
        # No window of a return ends later (R15).
        return_window = scenario.settings.comparison.return_window + self._monitors.control_patience
        self.clients = Clients(self, fleet, events, clock, return_window=return_window)
        self._forecast = forecast
        self._observer = observer
        self._recorder = recorder
        self.router = self._new_router(0)

    def _new_router(self, start: Time) -> Router:
        self.starts = start
        comparison = self._scenario.settings.comparison
        expected = ExpectedRules(comparison.expected, self._scenario.day(start))
        router = Router(
            self._monitors,
            comparator=Comparator(
                tolerance=comparison.tolerance, window=comparison.window, expected=expected
            ),
            outcomes=Outcomes(comparison.return_window, self._monitors.control_patience),
            observer=self._observer,
            start=start,
            guard=_FleetGuard(self._scenario, self.coverage.candidate_acts_for),
        )
        if self._brake is not None:
            router.restore_brake(self._brake)
        self._touch = router.make_touch(self._clock.server)
        self.coverage.began(router)
        return router

    # -- Connections ----------------------------------------------------------------------------------

    def open(self, link: Link) -> SimulatedConnection:
        """A client connects; the router gets the connection if it must know it."""
        now, user = self._clock.server(), link.user
        link.opened += 1
        connection = SimulatedConnection(self.clients, link, f"c{link.index}.{link.opened}", now)
        self.coverage.opened(link, now)
        if self._scenario.server.replaces:
            for older in link.older[:]:
                self._close(older, NORMAL)
        session_begins, user.in_session = not user.in_session, True
        watch_from = self._forecast.watch_from(link, now)
        if watch_from <= now or link.older:
            self._watch(connection)
        else:
            if session_begins or link.pending_until >= now:
                self._watch(connection)
                self._skip(connection)
            self._events.plan(watch_from, self._watch, connection)
        return connection

    def expect(self, link: Link) -> None:
        connection, now = link.connection, self._clock.now
        if connection is not None and connection.tracked is None:
            at = max(self._forecast.watch_from(link, now), now)
            self._events.plan(at, self._watch, connection)

    def heard(self, connection: SimulatedConnection, payload: bytes | None) -> None:
        tracked = connection.tracked
        if tracked is None:
            return  # the packet was on its way when the router lost the connection
        now = self._clock.server()
        self._recorder.heard(connection, payload is not None, now)
        if tracked.closed_by is not None:
            self.router.spoke_after_close(tracked, now)
            return
        self._touch(tracked)
        if payload is not None:
            self.router.pong(tracked, payload, now)
        if not tracked.alert and tracked.closed_by is None:
            self._skip_if_well(connection)

    def left(self, connection: SimulatedConnection) -> None:
        if connection.gone:
            return
        tracked = connection.tracked
        if tracked is not None:
            self.router.close(tracked, self._clock.server())
        self._gone(connection, Cause.PEER, NORMAL)

    def replied(self, connection: SimulatedConnection) -> None:
        if connection.gone:
            return
        assert connection.tracked is not None
        assert connection.closing is not None
        self.router.spoke_after_close(connection.tracked, self._clock.server())
        self._gone(connection, self._closer(connection), connection.closing.code)

    def aborted(self, connection: SimulatedConnection) -> None:
        if not connection.gone:
            self._gone(connection, self._closer(connection), ABNORMAL)

    def _closer(self, connection: SimulatedConnection) -> Cause:
        assert connection.tracked is not None
        assert connection.tracked.closed_by is not None
        return Cause(connection.tracked.closed_by.value)

    def _close(self, connection: SimulatedConnection, code: int) -> None:
        """The application ends a connection. (Its closing handshake is not waited for.)"""
        tracked = connection.tracked
        if tracked is not None:
            self.router.close(tracked, self._clock.server())
        self._gone(connection, Cause.APPLICATION, ABNORMAL, code)
        self.clients.dismissed(connection, code)

    def _gone(
        self,
        connection: SimulatedConnection,
        cause: Cause,
        observed: int,
        intended: int | None = None,
    ) -> None:
        now, link = self._clock.server(), connection.link
        connection.gone = True
        if connection in link.older:
            link.older.remove(connection)
        self.coverage.closed(link, now, watched=connection.tracked is not None)
        if (tracked := connection.tracked) is None:
            return
        tracked.unplug()
        self._recorder.closed(connection, cause, now)
        if connection.closing is not None:
            intended = connection.closing.code
        self._observer.on(
            Closing(
                connection=tracked.connection,
                stage=tracked.stage,
                opened_at=connection.opened_at,
                at=now,
                cause=cause,
                intended=intended,
                observed=observed,
            )
        )

    # -- What the router is told ----------------------------------------------------------------------

    def _watch(self, connection: SimulatedConnection) -> None:
        """Give the router a connection, as if the router had always known it."""
        if connection.gone or not connection.alive or connection.tracked is not None:
            return
        now, link = self._clock.server(), connection.link
        user = link.user
        described = connection.connection
        connection.tracked = tracked = self.router.open(
            described, connection, now, user.stage, placement=user.placement
        )
        connection.stint += 1
        self.coverage.watched(link, now)
        self._recorder.opened(connection, now)
        if connection.stint == 1:
            self._observer.on(
                Opened(
                    connection=described,
                    evaluation=self._rollout.evaluate(user.name),
                    stage=user.stage,
                    acting=tracked.acting,
                    at=connection.opened_at,
                )
            )
        if link.client.message_every is not None and not connection.talking:
            connection.talking = True
            first = link.message_after(now)
            self._events.plan(first, self.clients.talk, connection)

    def _skip_if_well(self, connection: SimulatedConnection) -> None:
        """Nothing will happen to the connection for a while: the router need not know it."""
        now, link = self._clock.now, connection.link
        if link.older or connection.owes or connection.heard_at > now:
            return  # what is on its way may be so for long
        watch_from = self._forecast.watch_from(link, now)
        if watch_from > now:
            self._skip(connection)
            self._events.plan(watch_from, self._watch, connection)

    def _skip(self, connection: SimulatedConnection) -> None:
        now = self._clock.server()
        assert connection.tracked is not None
        self.router.close(connection.tracked, now)
        connection.tracked = None
        self.coverage.skipped(connection.link, now)
        self._recorder.closed(connection, Cause.APPLICATION, now)

    def engage_brake(self, reason: str) -> None:
        """Everyone goes back to `shadow`, for good (R22)."""
        if self._brake is not None:
            return
        now, self._brake = self._clock.server(), reason
        for user in self._fleet.users:
            self.coverage.demoted(user, now)
            user.stage = min(user.stage, Stage.SHADOW)
        self.router.engage_brake(reason, now, by_itself=True)

    # -- What happens to the server -------------------------------------------------------------------

    def restart(self, downtime: Duration) -> None:
        """Everyone is closed with 1012; another process accepts connections after `downtime`."""
        now = self._clock.server()
        for link in self._fleet.links:
            for connection in (*link.older, link.connection):
                if connection is not None and not connection.gone:
                    self._close(connection, GOING_DOWN)
            link.pending_until = -1
            link.user.in_session = False
        for tracked in list(self.router.connections()):
            # Connections that a monitor has closed, and on which the other monitor has not decided.
            if isinstance(tracked.port, SimulatedConnection):
                self.aborted(tracked.port)
        self.coverage.ended(now)
        self.router.shutdown(now)
        self.router = self._new_router(now + downtime)

    def shutdown(self) -> None:
        """The end of the simulation: open episodes stay undecided."""
        self.router.shutdown(self._clock.server())

    def begin_pause(self, duration: Duration) -> None:
        """The process does not run; when it runs again, the control's due timers run first (R3)."""
        start = self._clock.now
        ends = self._clock.paused_until = start + duration
        self._recorder.paused(start, duration)
        self.router.paused(start, ends)
        self.router.step_control(ends)

    def end_pause(self) -> None:
        """What arrived during the pause has been read."""
        self.router.step_candidate(self._clock.server())


class _FleetGuard(Guard):
    """The guard, which counts the connections that the router need not know, too."""

    def __init__(self, scenario: Scenario, acting_for: Callable[[], int]) -> None:
        super().__init__(scenario.settings.guard)
        self._acting_for = acting_for

    def holds(self, decision: Decision, now: Time, acting_for: int) -> bool:
        return super().holds(decision, now, self._acting_for())
