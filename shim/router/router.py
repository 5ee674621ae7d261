"""The router: which monitors watch a connection, whose effects reach it, what is compared.

It gets what happens (a connection opens, a pong comes, time passes) and never reads a clock. In an
instant things happen in the order of docs/design.md#comparison: events, the control's timers, the candidate's,
windows. `step` does the timers and windows of one instant; a driver with events to deliver in between,
as after a pause (R3: docs/design.md#r3), calls the parts.

The per-message call of a connection (`Router.make_touch`) writes to the pulses directly and comes here only
when there is something to do: `tracked.alert`.

Rules: docs/design.md#r2, docs/design.md#r3b, docs/design.md#r4, docs/design.md#r6b,
docs/design.md#r11, docs/design.md#r14b, docs/design.md#r15, docs/design.md#r21,
docs/design.md#r22.
"""

import sys
from collections.abc import Callable, ValuesView
from contextlib import suppress

from shim.compare.comparator import Comparator
from shim.compare.return_watcher import ReturnWatcher
from shim.model import BY_CHANCE, Connection, Duration, Monitors, Placement, Role, Stage, Time
from shim.router.assignment import Assignment
from shim.router.decisions import Decisions
from shim.router.events import Paused, ProofOfLife
from shim.router.guard import Guard
from shim.router.observer import Observer
from shim.router.port import Port
from shim.router.requests import Budget, Requests
from shim.router.role_monitors import Meter, RoleMonitors
from shim.router.tracked import PunctualTimer, Timer, Tracked, make_touch
from shim.router.validation import CallFailed

_NEVER: Time = sys.maxsize


class Router:
    """What happens to connections, and what their monitors decide about them.

    `start` is the time at which the process, and so the control, begins. `meter` measures the CPU time of
    the candidate's calls (None: the time is not measured). `guard` holds the candidate's closes when they are
    too many (None: there is no guard).
    """

    def __init__(
        self,
        monitors: Monitors,
        *,
        comparator: Comparator,
        outcomes: ReturnWatcher,
        observer: Observer,
        start: Time,
        meter: Meter | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.guard = guard
        self._comparator = comparator
        self._outcomes = outcomes
        self._observer = observer
        self._opened = 0
        self._assignment = assignment = Assignment(
            monitors,
            comparator=comparator,
            observer=observer,
            start=start,
            meter=meter,
            guard=guard,
        )
        self._control = assignment.control
        self._candidate = assignment.candidate
        self._requests = Requests(assignment, observer)
        self._decisions = Decisions(
            assignment, comparator=comparator, outcomes=outcomes, observer=observer, guard=guard
        )

    def connections(self) -> ValuesView[Tracked]:
        """The connections that are open, or of which the shadow still has to decide."""
        return self._assignment.tracked.values()

    def __contains__(self, connection_id: str) -> bool:
        return connection_id in self._assignment.tracked

    def monitors(self, role: Role) -> RoleMonitors | None:
        """The monitors that run in this role; None: there is no control any more."""
        return self._control if role is Role.CONTROL else self._candidate

    # -- What happens to a connection ------------------------------------------------------------------

    def open(
        self,
        connection: Connection,
        port: Port,
        now: Time,
        stage: Stage,
        *,
        act: bool = True,
        placement: Placement = BY_CHANCE,
    ) -> Tracked:
        """Register a connection. With `act` false no monitor's effects reach it (replay).

        `placement`: how the flags placed the user (R15). Raises ValueError if the connection's id is
        in use.
        """
        assignment = self._assignment
        if connection.id in assignment.tracked:
            raise ValueError(f"connection id {connection.id!r} is in use")
        self._decisions.begin(now)
        self._opened += 1
        stage = assignment.allowed(stage)
        tracked = Tracked(
            connection,
            order=self._opened,
            port=port,
            stage=stage,
            acting=stage.acting if act else None,
            now=now,
            placement=placement,
        )
        assignment.add(tracked)
        if outcome := self._outcomes.opened(tracked):
            self._observer.on(outcome)
        assignment.watch(tracked, now, now)
        # The candidate may have failed for good meanwhile.
        tracked.stage = assignment.allowed(stage)
        return tracked

    def make_touch(
        self, clock: Callable[[], int], per_microsecond: int = 1, timer: Timer | None = None
    ) -> Callable[[Tracked], None]:
        """Makes the per-message call: to be called with the record for each message and pong.

        `clock` may count in smaller units, so that the system's own is read without a detour. `timer` is the
        one that calls `step`; None: it never comes late.
        """
        return make_touch(clock, per_microsecond, self, timer or PunctualTimer())

    def alerted(self, tracked: Tracked, now: Time) -> None:
        """A sign of life on a connection that is not simply healthy; the pulses have it already."""
        if tracked.closed_by is not None:
            self.spoke_after_close(tracked, now)
            return
        self._decisions.begin(now)
        id = tracked.connection.id
        if self.guard is not None and id in self.guard:
            # The close was wanted and not done: nobody knows which monitor was right (R6b).
            self.guard.heard(now)
            verdict = self._comparator.held(id, now)
        else:
            verdict = self._comparator.sign_of_life(id, now)
        if verdict is not None:
            self._observer.on(verdict)
        tracked.alert = False
        self._assignment.save(tracked)
        self._assignment.watch(tracked, now, now)

    def pong(self, tracked: Tracked, payload: bytes, now: Time) -> None:
        """A pong came; `touch` has been called for it."""
        if tracked.closed_by is not None:
            return
        for monitors in self._assignment.monitors:
            if (instance := tracked.instance(monitors.role)) is not None:
                try:
                    monitors.pong(instance, tracked.connection, payload, now)
                except CallFailed as failure:
                    self._assignment.connection_failed(monitors, tracked, failure, now)

    def round_trip(self, tracked: Tracked) -> Duration | None:
        """From a monitor's last ping to its pong, where one measures that."""
        for monitors in self._assignment.monitors:
            if (instance := tracked.instance(monitors.role)) is not None:
                with suppress(CallFailed):
                    answer = monitors.round_trip(instance, tracked.connection)
                    if answer is not None:
                        return answer
        return None

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
            event = None if self.guard is None else self.guard.event_of(tracked.connection.id)
            self._observer.on(
                ProofOfLife(
                    connection=tracked.connection,
                    role=tracked.closed_by,
                    at=now,
                    guard_event=event,
                    counted=tracked.placement.counted,
                )
            )

    def close(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone for another cause than a monitor's closing (R11)."""
        if tracked.closed_by is not None:
            return
        self._decisions.begin(now)
        if verdict := self._comparator.closed(tracked.connection.id, now):
            self._observer.on(verdict)
        self._outcomes.closed(tracked.connection, now)
        self._assignment.ended(tracked)
        self._assignment.save(tracked)
        self._assignment.release(tracked, now)
        # What still comes, until the transport is gone, is no reason to watch it again.
        tracked.alert = False

    def session_ended(self, session: str) -> None:
        """The session has no connection any more: its monitors go with their last open episodes (R2)."""
        for monitors in self._assignment.monitors:
            monitors.session_ended(session)

    def shutdown(self, now: Time) -> None:
        """The process stops: open episodes are inconclusive, open return windows censored."""
        for verdict in self._comparator.shutdown(now):
            self._observer.on(verdict)
        for outcome in self._outcomes.finish(now):
            self._observer.on(outcome)

    # -- Stages (R21, R22) -----------------------------------------------------------------------------

    def set_stage(
        self, tracked: Tracked, stage: Stage, now: Time, *, placement: Placement | None = None
    ) -> None:
        """Move an open connection: the new monitor first, with the true `last_seen` (R4, R21).

        `placement`: how the flags place the user now; None: as before.
        """
        stage = self._assignment.allowed(stage)
        if placement is not None:
            tracked.placement = placement
        if tracked.closed_by is None and tracked.stage != stage:
            self._decisions.begin(now)
            self._assignment.move(tracked, stage, now)

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: it is not."""
        return self._assignment.brake_reason

    def engage_brake(self, reason: str, now: Time, *, by_itself: bool = False) -> None:
        """Keep every user at `shadow` at most (R22); `by_itself`: no person asked for that.

        From now on the candidate closes no connection; `set_stage` moves the connections that are open.
        """
        self._assignment.engage_brake(reason, now, by_itself=by_itself)

    def restore_brake(self, reason: str) -> None:
        """The brake is engaged as it was left before a restart: nothing changes, so there is no event."""
        self._assignment.restore_brake(reason)

    def release_brake(self, reason: str, now: Time) -> None:
        """Let everyone be where the flags say; `set_stage` moves the connections that are open."""
        self._assignment.release_brake(reason, now)

    # -- Time ------------------------------------------------------------------------------------------

    @property
    def next_wake(self) -> Time | None:
        """When `step` is due."""
        soonest = self._next_besides_candidate()
        due = self._candidate.timers.next_due
        if due is not None and due < soonest:
            soonest = due
        for monitors in self._assignment.monitors:
            since = self._requests.waiting_since(monitors.role)
            if since is not None and since < soonest:
                soonest = since
        return soonest if soonest < _NEVER else None

    def any_wake(self, until: Time) -> bool:
        """Whether a monitor may want to be woken until then: quicker to answer than `next_wake`."""
        control = self._control
        return self._candidate.timers.any_due(until) or (
            control is not None and control.timers.any_due(until)
        )

    def step(self, now: Time) -> None:
        """Do everything that is due."""
        self.step_control(now)
        self.step_candidate(now)

    def step_control(self, now: Time, budget: Budget | None = None) -> None:
        """End the windows that ended before `now`, then run the control's due timers.

        Once the `budget` (None: there is no limit) is used up, the rest is left to the next step.
        """
        self._decisions.begin(now)
        if (retry := self._assignment.retry_at) is not None and retry <= now:
            self._assignment.watch_orphans(now)
        if self._control is not None:
            self._run(self._control, now, budget)

    def step_candidate(self, now: Time, budget: Budget | None = None) -> None:
        """Run the candidate's due timers, then end the windows that end with `now`."""
        self._run(self._candidate, now, budget)
        self._decisions.end_holds(now)
        self._decisions.finish(now)

    def advance(self, until: Time) -> Time | None:
        """Do everything due before `until`, each at its own time; answer `next_wake` (virtual time)."""
        candidate = self._candidate
        while True:
            besides = self._next_besides_candidate()
            alone = min(besides, until)
            # Mostly the candidates alone have something to do, one session after the other.
            while (due := candidate.timers.next_due) is not None and due < alone:
                self._assignment.now = due
                if self._run(candidate, due):
                    break
            else:
                if besides >= until:
                    soonest = besides if due is None else min(due, besides)
                    return soonest if soonest < _NEVER else None
                self.step(besides)

    def paused(self, start: Time, end: Time, budget: Budget | None = None) -> None:
        """The process did not run from `start` to `end` (R3).

        Monitors that are left once the `budget` is used up are told before they are woken.
        """
        both = self._assignment.monitors
        for monitors in both:
            # First of all: a connection that is released at the end of the pause was not watched in the pause.
            monitors.leave_out(start, end)
        self._decisions.begin(end)
        self._observer.on(Paused(start, end))
        for monitors in both:
            monitors.remember_pause(start, end)
            for instance in monitors.instances():
                try:
                    monitors.paused(instance, end)
                except CallFailed as failure:
                    self._assignment.instance_failed(monitors, instance, failure, end)
                if budget is not None and budget():
                    break

    def _run(self, monitors: RoleMonitors, now: Time, budget: Budget | None = None) -> bool:
        """Wake the monitors of the role that are due; answer whether anything was decided or failed."""
        if (
            not monitors.timers.any_due(now)
            and not monitors.strikes
            and self._requests.waiting_since(monitors.role) is None
        ):
            return False
        decisions, failed = self._requests.wake_due(monitors, now, budget)
        for tracked, decision in decisions:
            self._decisions.decide(tracked, monitors.role, decision, now)
        if monitors.strikes:
            self._assignment.quarantine_if_due(monitors, now)
        return failed or bool(decisions)

    def _next_besides_candidate(self) -> Time:
        soonest = _NEVER
        if (control := self._control) is not None:
            due = control.timers.next_due
            if due is not None:
                soonest = due
        if (window := self._comparator.next_window) is not None and window < soonest:
            soonest = window
        if (loss := self._outcomes.next_loss) is not None and loss < soonest:
            soonest = loss
        if (retry := self._assignment.retry_at) is not None and retry < soonest:
            soonest = retry
        if (
            (guard := self.guard) is not None
            and (due := guard.next_due) is not None
            and due < soonest
        ):
            soonest = due
        return soonest
