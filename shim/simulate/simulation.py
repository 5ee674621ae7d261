"""The simulation: the real router and monitors, simulated sockets and clients, in virtual time.

In an instant the world's events come first, then the monitors' timers (docs/design.md#comparison). While the
server is paused, events happen to the clients at their own times and to the server at the pause's end.
"""

from collections.abc import Iterator

from shim.model import MICROSECOND, SECOND, Duration, Time
from shim.router import Observer
from shim.simulate.fleet import Fleet
from shim.simulate.forecast import Forecast
from shim.simulate.recording import SimulationRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulated_server import SimulatedServer
from shim.simulate.virtual_time import Clock, EventQueue

HOUR: Duration = 3600 * SECOND


class Simulation:
    """Runs once. With `skip` false every heartbeat of every connection takes place.

    `sample` is a share of users of whom everything takes place in any case.
    """

    def __init__(
        self,
        scenario: Scenario,
        observer: Observer,
        recorder: SimulationRecorder,
        *,
        skip: bool = True,
        sample: float = 0.0,
    ) -> None:
        rollout = scenario.rollout.targeting()
        self._scenario = scenario
        self._observer = observer
        self._events = EventQueue(scenario.end)
        self._clock = Clock()
        self.fleet = Fleet(scenario, rollout)
        forecast = Forecast(scenario, self.fleet, skip=skip, sample=sample)
        self._server = SimulatedServer(
            scenario,
            rollout,
            self.fleet,
            events=self._events,
            clock=self._clock,
            forecast=forecast,
            observer=observer,
            recorder=recorder,
        )
        self._clients = self._server.clients
        plan, planned = self._events.plan, scenario.server
        for deploy in planned.deploys:
            plan(deploy.at, self._server.restart, deploy.downtime)
        for pause in planned.pauses:
            plan(pause.at, self._pause, pause.duration)
        for cut in planned.cuts:
            plan(cut.at, self._clients.cut, cut.users, cut.at + cut.duration)

    def now(self) -> Time:
        """The server's time."""
        return self._clock.server()

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: it is not."""
        return self._server.router.brake_reason

    def engage_brake(self, reason: str, *, by_itself: bool) -> None:
        """Take everyone back to `shadow`, after the events of this instant."""
        self._events.plan(self._clock.now, self._server.engage_brake, reason)

    def run(self) -> Iterator[Time]:
        """Simulate, stopping after each hour and at the end to give control and the time."""
        events, clock, server = self._events, self._clock, self._server
        self._clients.start(self._scenario.connect_within)
        end, hour = self._scenario.end, min(HOUR, self._scenario.end)
        due = server.router.next_wake
        while True:
            at = events.next_at
            timer = due is not None and (at is None or due < at)
            soonest = due if timer else at
            if soonest is None or soonest > hour:
                clock.now = hour
                for coverage in server.coverage.tell(hour):
                    self._observer.on(coverage)
                if hour == end:
                    break
                yield hour
                hour = min(hour + HOUR, end)
                due = server.router.next_wake
            elif timer:
                clock.now = soonest
                due = server.router.advance(soonest + MICROSECOND)
            else:
                self._happen()
                due = server.router.next_wake
        server.shutdown()
        yield end

    def _happen(self) -> None:
        at, handler, args = self._events.pop()
        self._clock.now = at
        handler(*args)

    def _pause(self, duration: Duration) -> None:
        ends = self._clock.now + duration
        self._server.begin_pause(duration)
        while (at := self._events.next_at) is not None and at <= ends:
            self._happen()
        self._clock.now = ends
        self._server.end_pause()
