"""The router: which monitors watch a connection, whose effects reach it, what is compared.

It is told what happens (a connection opens, a pong comes, time passes) and never reads a clock. In an
instant things happen in the order of DESIGN section 4: events, the control's timers, the candidate's,
windows. `step` does the timers and windows of one instant; a driver with events to deliver in between,
as after a pause (R3), calls the parts.

The per-message call of a connection (`Router.touch`) writes to the pulses directly and comes here only
when there is something to do: `tracked.alert`.
"""

from collections.abc import Callable, Iterable, ValuesView
from dataclasses import dataclass
from typing import Any

from shim.compare import Comparator, Outcomes
from shim.model import (
    Close,
    Connection,
    Decision,
    Duration,
    LateDecision,
    MonitorFailure,
    MonitorType,
    Note,
    Ping,
    Request,
    Role,
    Stage,
    Terminate,
    Time,
    Verdict,
)
from shim.router.answers import CallFailed, check_request
from shim.router.lane import STRIKES, Instance, Lane, Meter
from shim.router.observer import Observer
from shim.router.port import Port
from shim.router.tracked import Tracked, compose_touch

_NEVER: Time = 1 << 62


@dataclass(frozen=True, slots=True)
class Monitors:
    """The two monitors, each with its settings; without a control the shim runs retired."""

    control: tuple[MonitorType, Any] | None
    candidate: tuple[MonitorType, Any]


class Router:
    """Keeps R4 (no orphan), R5 (isolation) and R6 (shadows are silent) for every connection."""

    def __init__(
        self,
        monitors: Monitors,
        comparator: Comparator,
        outcomes: Outcomes,
        observer: Observer,
        start: Time,
        meter: Meter | None = None,
    ) -> None:
        self._comparator = comparator
        self._outcomes = outcomes
        self._observer = observer
        self._tracked: dict[str, Tracked] = {}
        self._opened = 0
        self._now = start
        self.brake_reason: str | None = None
        self._lanes: dict[Role, Lane] = {}
        if monitors.control is not None:
            self._lanes[Role.CONTROL] = Lane(Role.CONTROL, *monitors.control)
        self._lanes[Role.CANDIDATE] = Lane(Role.CANDIDATE, *monitors.candidate, meter, self._slow)
        for lane in self._lanes.values():
            try:
                lane.start(start)
            except CallFailed as failure:
                self._strike(lane, failure, start)

    # -- What happens to a connection -----------------------------------------------------------

    def open(
        self, connection: Connection, port: Port, now: Time, stage: Stage, *, act: bool = True
    ) -> Tracked:
        """Register a connection. With `act` false no monitor's effects reach it (replay)."""
        if connection.id in self._tracked:
            raise ValueError(f"connection id {connection.id!r} is in use")
        self._begin(now)
        self._opened += 1
        stage = self._allowed(stage)
        tracked = Tracked(connection, self._opened, port, stage, stage.acting if act else None, now)
        self._tracked[connection.id] = tracked
        if outcome := self._outcomes.opened(connection, now):
            self._observer.outcome(outcome)
        self._watch_all(tracked, now, now)
        return tracked

    def touch(self, tracked: Tracked, clock: Callable[[], Time]) -> Callable[[], None]:
        """The connection's per-message call: to be called for each message and pong."""
        return compose_touch(tracked, clock, self.alerted)

    def alerted(self, tracked: Tracked, now: Time) -> None:
        """A sign of life on a connection that is not simply healthy; the pulses have it already."""
        if tracked.closed_by is not None:
            self.spoke_after_close(tracked, now)
            return
        self._begin(now)
        if verdict := self._comparator.sign_of_life(tracked.connection.id, now):
            self._observer.verdict(verdict)
        tracked.alert = False
        self._watch_all(tracked, now, now)

    def pong(self, tracked: Tracked, payload: bytes, now: Time) -> None:
        """A pong came; `touch` has been called for it."""
        if tracked.closed_by is not None:
            return
        for role, lane in self._lanes.items():
            if (instance := tracked.instance(role)) is not None:
                try:
                    lane.pong(instance, tracked.connection, payload, now)
                except CallFailed as failure:
                    self._connection_failed(lane, tracked, failure, now)

    def data(self, tracked: Tracked, at: Time) -> None:
        """Evidence of life that is no sign of life: counted by monitors that care (R3b)."""
        if at > tracked.control.last_data:
            tracked.control.last_data = at
        if at > tracked.candidate.last_data:
            tracked.candidate.last_data = at

    def spoke_after_close(self, tracked: Tracked, now: Time) -> None:
        """The peer sent something after the acting monitor's close: it had been alive (R14b)."""
        if tracked.closed_by is not None and not tracked.spoke_after_close:
            tracked.spoke_after_close = True
            self._observer.proof_of_life(tracked.connection, tracked.closed_by, now)

    def close(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone for another cause than a monitor's closing (R11)."""
        if tracked.closed_by is not None:
            return
        self._begin(now)
        if verdict := self._comparator.closed(tracked.connection.id, now):
            self._observer.verdict(verdict)
        self._outcomes.closed(tracked.connection)
        self._release(tracked, now)

    def session_ended(self, session: str) -> None:
        for lane in self._lanes.values():
            lane.session_ended(session)

    def set_stage(self, tracked: Tracked, stage: Stage, now: Time) -> None:
        """Move an open connection: the new monitor first, with the true `last_seen` (R4, R21)."""
        before, stage = tracked.stage, self._allowed(stage)
        if tracked.closed_by is not None or before == stage:
            return
        self._begin(now)
        if verdict := self._comparator.handed_over(tracked.connection.id, now):
            self._observer.verdict(verdict)
        tracked.stage = stage
        self._watch_all(tracked, now, tracked.last_activity)
        if tracked.acting is not None:
            tracked.acting = self._acting(tracked)
        for role in self._lanes:
            if role is not tracked.acting and role not in self._roles(stage):
                self._unwatch(tracked, role, now)
        self._observer.stage_changed(tracked.connection, before, stage, now)

    def engage_brake(self, reason: str, now: Time) -> None:
        """Take everyone who is further back to `shadow` (R22)."""
        if self.brake_reason is not None:
            return
        self.brake_reason = reason
        self._observer.brake(True, reason, now)
        for tracked in list(self._tracked.values()):
            self.set_stage(tracked, tracked.stage, now)

    # -- Time ------------------------------------------------------------------------------------

    @property
    def next_wake(self) -> Time | None:
        """When `step` is due."""
        besides = self._next_besides_candidate()
        due = self._lanes[Role.CANDIDATE].agenda.next_due
        if due is not None and due < besides:
            return due
        return besides if besides < _NEVER else None

    def step(self, now: Time) -> None:
        """Do everything that is due."""
        self.step_control(now)
        self.step_candidate(now)

    def step_control(self, now: Time) -> None:
        """End the windows that ended before `now`, then run the control's due timers."""
        self._begin(now)
        if (lane := self._lanes.get(Role.CONTROL)) is not None:
            self._run(lane, now)

    def step_candidate(self, now: Time) -> None:
        """Run the candidate's due timers, then end the windows that end with `now`."""
        self._run(self._lanes[Role.CANDIDATE], now)
        for verdict in self._comparator.expire(now, inclusive=True):
            self._judged(verdict, now)

    def advance(self, until: Time) -> Time | None:
        """Do everything due before `until`, each at its own time; answer `next_wake` (virtual time)."""
        lane = self._lanes[Role.CANDIDATE]
        while True:
            besides = self._next_besides_candidate()
            alone = min(besides, until)
            # Mostly the candidates alone have something to do, one session after the other.
            while (due := lane.agenda.next_due) is not None and due < alone:
                self._now = due
                if self._run(lane, due):
                    break
            else:
                if besides >= until:
                    soonest = besides if due is None else min(due, besides)
                    return soonest if soonest < _NEVER else None
                self.step(besides)

    def paused(self, start: Time, end: Time) -> None:
        """The process did not run from `start` to `end` (R3)."""
        self._begin(end)
        for lane in self._lanes.values():
            lane.remember_pause(start, end)
            for instance in lane.instances():
                try:
                    lane.paused(instance, start, end)
                except CallFailed as failure:
                    self._instance_failed(lane, instance, failure, end)

    def shutdown(self, now: Time) -> None:
        """The process stops: open episodes are inconclusive, open return windows censored."""
        for verdict in self._comparator.shutdown(now):
            self._observer.verdict(verdict)
        for outcome in self._outcomes.finish(now):
            self._observer.outcome(outcome)

    # -- What is known ----------------------------------------------------------------------------

    def connections(self) -> ValuesView[Tracked]:
        """The connections that are open, or of which the shadow still has to decide."""
        return self._tracked.values()

    def __contains__(self, connection_id: str) -> bool:
        return connection_id in self._tracked

    def lane(self, role: Role) -> Lane | None:
        return self._lanes.get(role)

    # -- Inside: decisions ------------------------------------------------------------------------

    def _begin(self, now: Time) -> None:
        """Whatever happens at `now`, windows that ended before are over (R10, R15)."""
        self._now = now
        for verdict in self._comparator.expire(now):
            self._judged(verdict, now)
        for outcome in self._outcomes.expire(now):
            self._observer.outcome(outcome)

    def _next_besides_candidate(self) -> Time:
        soonest = _NEVER
        if (lane := self._lanes.get(Role.CONTROL)) is not None:
            due = lane.agenda.next_due
            if due is not None:
                soonest = due
        if (window := self._comparator.next_window) is not None and window < soonest:
            soonest = window
        if (loss := self._outcomes.next_loss) is not None and loss < soonest:
            soonest = loss
        return soonest

    def _run(self, lane: Lane, now: Time) -> bool:
        """Wake whoever is due; answer whether anything was decided or failed."""
        failed = False
        decisions: list[tuple[Tracked, Decision]] = []
        while (instance := lane.agenda.pop_due(now)) is not None:
            try:
                self._fulfil(lane, instance, "wake", lane.wake(instance, now), now, decisions)
                lane.woken(instance, now)
            except CallFailed as failure:
                self._instance_failed(lane, instance, failure, now)
                failed = True
        if lane.role is Role.CANDIDATE and len(decisions) > 1:
            decisions.sort(key=lambda decided: (decided[1].deadline, decided[0].order))
        for tracked, decision in decisions:
            self._decide(tracked, lane.role, decision, now)
        if lane.strikes:
            self._quarantine_if_due(lane, now)
        return failed or bool(decisions)

    def _fulfil(
        self,
        lane: Lane,
        instance: Instance,
        call: str,
        requests: Iterable[Request],
        now: Time,
        decisions: list[tuple[Tracked, Decision]],
    ) -> None:
        """Do what a monitor asked for; its decisions are collected, to be acted on in order."""
        role = lane.role
        control = role is Role.CONTROL
        tracked_by_id = self._tracked
        for request in requests:
            check_request(call, request, now)
            if isinstance(request, Note):
                self._observer.note(role, request.text)
                continue
            tracked = tracked_by_id.get(request.connection_id)
            if tracked is None or instance is not (
                tracked.control_instance if control else tracked.candidate_instance
            ):
                raise CallFailed(
                    call, f"answered {type(request).__name__} for a connection it does not watch"
                )
            if isinstance(request, Ping):
                if tracked.acting is not role:
                    lane.recorded_pings += 1
                elif tracked.closed_by is None:
                    tracked.port.ping(request.payload)
            elif isinstance(request, Decision):
                tracked.detach(role)
                lane.dropped(instance)
                decisions.append((tracked, request))
            else:
                self._confirm(lane, instance, tracked, now, decisions)

    def _confirm(
        self,
        lane: Lane,
        instance: Instance,
        tracked: Tracked,
        now: Time,
        decisions: list[tuple[Tracked, Decision]],
    ) -> None:
        try:
            answer = lane.confirmed(instance, tracked.connection, tracked.evidence(), now)
            self._fulfil(lane, instance, "confirmed", answer, now, decisions)
        except CallFailed as failure:
            self._connection_failed(lane, tracked, failure, now)

    def _decide(self, tracked: Tracked, role: Role, decision: Decision, now: Time) -> None:
        tracked.ever_decided = True
        tracked.alert = True
        record: Verdict | LateDecision | None = None
        if self._compared(tracked):
            record = self._comparator.decided(
                tracked.connection, tracked.order, role, now, tracked.last_activity, tracked.acting
            )
        acts = tracked.acting is role and tracked.closed_by is None
        self._observer.decided(tracked.connection, role, decision, acts)
        if acts:
            self._act(tracked, role, decision, now)
        if isinstance(record, Verdict):
            self._judged(record, now)
        else:
            if record is not None:
                self._observer.late(record)
            if acts and (record is not None or not self._compared(tracked)):
                self._release(tracked, now)

    def _act(self, tracked: Tracked, role: Role, decision: Decision, now: Time) -> None:
        """Let the decision reach the socket; from here on the connection is gone for the monitors."""
        tracked.closed_by = role
        tracked.mute()
        outcome = self._outcomes.acted(tracked.connection, role, now, tracked.last_activity)
        for effect in decision.effects:
            if isinstance(effect, Close):
                tracked.port.close(effect)
            elif isinstance(effect, Terminate):
                tracked.port.terminate()
            else:
                tracked.port.forget()
        if outcome is not None:
            self._observer.outcome(outcome)

    def _judged(self, verdict: Verdict, now: Time) -> None:
        """An episode ended; if its connection was closed, nobody needs to watch it any more (R6)."""
        self._observer.verdict(verdict)
        tracked = self._tracked.get(verdict.connection.id)
        if tracked is not None and tracked.closed_by is not None:
            self._release(tracked, now)

    # -- Inside: watching -------------------------------------------------------------------------

    def _watch_all(self, tracked: Tracked, now: Time, last_seen: Time) -> None:
        """Let every monitor of the stage that does not watch the connection do so."""
        for role in self._roles(tracked.stage):
            if tracked.instance(role) is None and tracked.failed is not role:
                try:
                    self._register(tracked, role, now, last_seen)
                except CallFailed as failure:
                    self._connection_failed(self._lanes[role], tracked, failure, now)

    def _register(self, tracked: Tracked, role: Role, now: Time, last_seen: Time) -> None:
        lane = self._lanes[role]
        instance, pulse = lane.register(tracked.connection, now, last_seen)
        tracked.attach(role, instance, pulse)
        try:
            lane.reschedule(instance)
        except CallFailed as failure:
            self._instance_failed(lane, instance, failure, now)

    def _unwatch(self, tracked: Tracked, role: Role, now: Time) -> None:
        instance = tracked.instance(role)
        if instance is None:
            return
        tracked.detach(role)
        try:
            self._lanes[role].unregister(instance, tracked.connection, now)
        except CallFailed as failure:
            self._report(role, failure, now, tracked.connection)

    def _release(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone, and nothing about it is undecided."""
        del self._tracked[tracked.connection.id]
        self._comparator.forget(tracked.connection.id)
        for role in self._lanes:
            self._unwatch(tracked, role, now)

    def _roles(self, stage: Stage) -> tuple[Role, ...]:
        """The roles that are to watch at this stage; a quarantined candidate has none."""
        if Role.CONTROL not in self._lanes:
            return (Role.CANDIDATE,)
        if stage is Stage.OFF or self._lanes[Role.CANDIDATE].quarantined:
            return (Role.CONTROL,)
        return (Role.CANDIDATE,) if stage is Stage.COMPLETE else (Role.CONTROL, Role.CANDIDATE)

    def _allowed(self, stage: Stage) -> Stage:
        """The stage as the brake and the plugins at hand allow it."""
        if Role.CONTROL not in self._lanes:
            return Stage.COMPLETE
        if self.brake_reason is not None or self._lanes[Role.CANDIDATE].quarantined:
            return min(stage, Stage.SHADOW)
        return stage

    def _compared(self, tracked: Tracked) -> bool:
        return tracked.stage in (Stage.SHADOW, Stage.LIVE)

    def _acting(self, tracked: Tracked) -> Role:
        """The role that should act, if it watches; else the one that does (R4)."""
        wanted = tracked.stage.acting
        return wanted.other if tracked.instance(wanted) is None else wanted

    # -- Inside: failures (R4, R5) ----------------------------------------------------------------

    def _report(
        self, role: Role, failure: CallFailed, now: Time, connection: Connection | None = None
    ) -> None:
        self._observer.failure(MonitorFailure(role, failure.call, failure.reason, now, connection))

    def _slow(self, call: str, cpu: Duration) -> None:
        """A candidate's call took too long; its answer stands, but not too often."""
        failure = CallFailed(call, f"took {cpu / 1000:.0f} ms of CPU")
        self._report(Role.CANDIDATE, failure, self._now)
        self._lanes[Role.CANDIDATE].strikes += 1

    def _connection_failed(
        self, lane: Lane, tracked: Tracked, failure: CallFailed, now: Time
    ) -> None:
        """A call about one connection failed: that monitor is not asked about it again."""
        role = lane.role
        if failure.about_connection:
            self._report(role, failure, now, tracked.connection)
        else:
            self._strike(lane, failure, now)
        tracked.failed = role
        self._error_verdict(tracked, now)
        self._unwatch(tracked, role, now)
        if tracked.closed_by is not None:
            self._release(tracked, now)
        elif tracked.acting is role:
            self._take_over(tracked, role, failure, now)
        self._quarantine_if_due(lane, now)

    def _instance_failed(
        self, lane: Lane, instance: Instance, failure: CallFailed, now: Time
    ) -> None:
        """A call about no single connection failed: a fresh instance takes the connections."""
        self._strike(lane, failure, now)
        lane.discard(instance)
        watched = [t for t in self._tracked.values() if t.instance(lane.role) is instance]
        self._quarantine_if_due(lane, now)
        self._replace(lane, watched, failure, now)

    def _strike(self, lane: Lane, failure: CallFailed, now: Time) -> None:
        """A failure that counts against the plugin: for ever, or, without a successor, for now."""
        self._report(lane.role, failure, now)
        if now != lane.struck_at and not self._may_be_quarantined(lane):
            lane.strikes = 0
        lane.strikes += 1
        lane.struck_at = now

    def _may_be_quarantined(self, lane: Lane) -> bool:
        """Only the candidate, and only where there is a control to take over."""
        return lane.role is Role.CANDIDATE and Role.CONTROL in self._lanes

    def _quarantine_if_due(self, lane: Lane, now: Time) -> None:
        """Three strikes, and the candidate runs no more."""
        if lane.quarantined or lane.strikes < STRIKES or not self._may_be_quarantined(lane):
            return
        failure = CallFailed("quarantine", f"failed {lane.strikes} times")
        self._report(lane.role, failure, now)
        watched = [t for t in self._tracked.values() if t.instance(lane.role) is not None]
        lane.quarantine()
        self._replace(lane, watched, failure, now)

    def _replace(self, lane: Lane, watched: list[Tracked], failure: CallFailed, now: Time) -> None:
        role = lane.role
        for tracked in watched:
            tracked.detach(role)
        for tracked in watched:
            if tracked.closed_by is not None:
                self._error_verdict(tracked, now)
                if tracked.connection.id in self._tracked:
                    self._release(tracked, now)
                continue
            if tracked.acting is role:
                self._take_over(tracked, role, failure, now)
            self._watch_all(tracked, now, tracked.last_activity)

    def _take_over(self, tracked: Tracked, failed: Role, failure: CallFailed, now: Time) -> None:
        """The acting monitor failed: the other one acts, else a fresh instance of the same."""
        if failed is Role.CANDIDATE and Role.CONTROL in self._lanes:
            self.engage_brake(f"the acting candidate failed: {failure}", now)
        # The stage `off` keeps the candidate away: there a fresh control is tried first.
        alone = failed is Role.CONTROL and tracked.instance(failed.other) is None
        for role in (failed, failed.other) if alone else (failed.other, failed):
            if role not in self._lanes or self._lanes[role].quarantined:
                continue
            if tracked.instance(role) is None:
                try:
                    self._register(tracked, role, now, tracked.last_activity)
                except CallFailed as again:
                    self._report(role, again, now, tracked.connection)
                if tracked.instance(role) is None:
                    continue
            if tracked.acting is not role:
                if verdict := self._comparator.handed_over(tracked.connection.id, now):
                    self._observer.verdict(verdict)
                tracked.acting = role
            return
        # The next sign of life tries again.
        tracked.alert = True
        self._observer.note(failed, f"no monitor is able to watch {tracked.connection.id}")

    def _error_verdict(self, tracked: Tracked, now: Time) -> None:
        if self._compared(tracked) and (
            verdict := self._comparator.failed(
                tracked.connection, tracked.order, now, tracked.last_activity, tracked.acting
            )
        ):
            tracked.alert = True
            self._observer.verdict(verdict)
