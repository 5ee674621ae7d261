"""The router: which monitors watch a connection, whose effects reach it, what is compared.

It is told what happens (a connection opens, a pong comes, time passes) and never reads a clock. In an
instant things happen in the order of DESIGN section 4: events, the control's timers, the candidate's,
windows. `step` does the timers and windows of one instant; a driver with events to deliver in between,
as after a pause (R3), calls the parts.

The per-message call of a connection (`Router.touches`) writes to the pulses directly and comes here only
when there is something to do: `tracked.alert`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from shim.model import (
    Close,
    Connection,
    Decision,
    Duration,
    Kind,
    LateDecision,
    Note,
    Pings,
    Pulse,
    Request,
    Role,
    Stage,
    Terminate,
    Time,
    Verdict,
)
from shim.router.assignment import Watching
from shim.router.events import Decided, GuardChanged, Noted, Paused, ProofOfLife
from shim.router.guard import Guard
from shim.router.port import Port
from shim.router.role_monitors import Instance, RoleMonitors
from shim.router.tracked import Tracked, touches
from shim.router.validation import (
    LONGEST_PING,
    CallFailed,
    blame,
    check_requests,
    not_watched,
    shown,
)

_NEVER: Time = 1 << 62

# A member is found in its enumeration in 70 ns on Python 3.11, which is as long as all else that a ping takes.
_CONTROL, _CANDIDATE = Role.CONTROL, Role.CANDIDATE
_GLASSES, _APP = Kind.GLASSES, Kind.APP


class Router(Watching):
    """What happens to connections, and what their monitors decide about them."""

    # -- What happens to a connection ------------------------------------------------------------------

    def open(
        self,
        connection: Connection,
        port: Port,
        now: Time,
        stage: Stage,
        *,
        act: bool = True,
        by_percentage: bool = True,
    ) -> Tracked:
        """Register a connection. With `act` false no monitor's effects reach it (replay)."""
        if connection.id in self._tracked:
            raise ValueError(f"connection id {connection.id!r} is in use")
        self._begin(now)
        self._opened += 1
        stage = self._allowed(stage)
        acting = stage.acting if act else None
        tracked = Tracked(connection, self._opened, port, stage, acting, now, by_percentage)
        self._tracked[connection.id] = tracked
        self._candidate_acts_for += acting is _CANDIDATE
        if outcome := self._outcomes.opened(tracked):
            self._observer.on(outcome)
        self._watch_all(tracked, now, now)
        return tracked

    def touches(
        self, clock: Callable[[], int], per_microsecond: int = 1
    ) -> Callable[[Tracked], Callable[[], None]]:
        """Makes a connection's per-message call: to be called for each message and pong.

        `clock` may count in smaller units, so that the system's own is read without a detour.
        """
        return touches(clock, per_microsecond, self)

    def alerted(self, tracked: Tracked, now: Time) -> None:
        """A sign of life on a connection that is not simply healthy; the pulses have it already."""
        if tracked.closed_by is not None:
            self.spoke_after_close(tracked, now)
            return
        self._begin(now)
        if verdict := self._comparator.sign_of_life(tracked.connection.id, now):
            self._observer.on(verdict)
        tracked.alert = False
        self._save(tracked)
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

    def round_trip(self, tracked: Tracked) -> Duration | None:
        """From a monitor's last ping to its pong, where one measures that."""
        for role, lane in self._lanes.items():
            if (instance := tracked.instance(role)) is not None:
                with suppress(CallFailed):
                    if (round_trip := lane.round_trip(instance, tracked.connection)) is not None:
                        return round_trip
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
            self._observer.on(ProofOfLife(tracked.connection, tracked.closed_by, now))

    def close(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone for another cause than a monitor's closing (R11)."""
        if tracked.closed_by is not None:
            return
        self._begin(now)
        if verdict := self._comparator.closed(tracked.connection.id, now):
            self._observer.on(verdict)
        self._outcomes.closed(tracked.connection)
        self._candidate_acts_for -= tracked.acting is _CANDIDATE
        self._save(tracked)
        self._release(tracked, now)
        # What still comes, until the transport is gone, is no reason to watch it again.
        tracked.alert = False

    def session_ended(self, session: str) -> None:
        for lane in self._lanes.values():
            lane.session_ended(session)

    def shutdown(self, now: Time) -> None:
        """The process stops: open episodes are inconclusive, open return windows censored."""
        for verdict in self._comparator.shutdown(now):
            self._observer.on(verdict)
        for outcome in self._outcomes.finish(now):
            self._observer.on(outcome)

    # -- Time ------------------------------------------------------------------------------------------

    @property
    def next_wake(self) -> Time | None:
        """When `step` is due."""
        besides = self._next_besides_candidate()
        due = self._lanes[_CANDIDATE].agenda.next_due
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
        if (lane := self._lanes.get(_CONTROL)) is not None:
            self._run(lane, now)

    def step_candidate(self, now: Time) -> None:
        """Run the candidate's due timers, then end the windows that end with `now`."""
        self._run(self._lanes[_CANDIDATE], now)
        if self.guard is not None and self.guard.holding:
            self._end_holds(self.guard, now)
        for verdict in self._comparator.expire(now, inclusive=True):
            self._judged(verdict, now)

    def advance(self, until: Time) -> Time | None:
        """Do everything due before `until`, each at its own time; answer `next_wake` (virtual time)."""
        lane = self._lanes[_CANDIDATE]
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
        for lane in self._lanes.values():
            # Before anything happens at the end: whoever is let go there was not watched in the pause.
            lane.leave_out(start, end)
        self._begin(end)
        self._observer.on(Paused(start, end))
        for lane in self._lanes.values():
            lane.remember_pause(start, end)
            for instance in lane.instances():
                try:
                    lane.paused(instance, start, end)
                except CallFailed as failure:
                    self._instance_failed(lane, instance, failure, end)

    def _next_besides_candidate(self) -> Time:
        soonest = _NEVER
        if (lane := self._lanes.get(_CONTROL)) is not None:
            due = lane.agenda.next_due
            if due is not None:
                soonest = due
        if (window := self._comparator.next_window) is not None and window < soonest:
            soonest = window
        if (loss := self._outcomes.next_loss) is not None and loss < soonest:
            soonest = loss
        if (
            (guard := self.guard) is not None
            and (due := guard.next_due) is not None
            and due < soonest
        ):
            soonest = due
        return soonest

    # -- Decisions -------------------------------------------------------------------------------------

    def _run(self, lane: RoleMonitors, now: Time) -> bool:
        """Wake whoever is due; answer whether anything was decided or failed."""
        if not lane.agenda.any_due(now) and not lane.strikes:
            return False
        failed = False
        decisions: list[tuple[Tracked, Decision]] = []
        for instance in lane.agenda.due(now):
            try:
                self._fulfil(lane, instance, "wake", lane.wake(instance, now), now, decisions)
                lane.reschedule(instance, now)
            except CallFailed as failure:
                self._instance_failed(lane, instance, failure, now)
                failed = True
        if lane.by_deadline and len(decisions) > 1:
            decisions.sort(key=lambda decided: (decided[1].deadline, decided[0].order))
        for tracked, decision in decisions:
            self._decide(tracked, lane.role, decision, now)
        if lane.strikes:
            self._quarantine_if_due(lane, now)
        return failed or bool(decisions)

    def _fulfil(
        self,
        lane: RoleMonitors,
        instance: Instance,
        call: str,
        requests: list[Request],
        now: Time,
        decisions: list[tuple[Tracked, Decision]],
    ) -> None:
        """Do what a monitor asked for; its decisions are collected, to be acted on in order."""
        check_requests(call, requests, now)
        for request in requests:
            if isinstance(request, Pings):
                self._ping(lane, instance, call, request.pulses)
            elif isinstance(request, Note):
                self._observer.on(Noted(lane.role, request.text))
            else:
                tracked = self._tracked.get(request.connection_id)
                if tracked is None or tracked.instance(lane.role) is not instance:
                    raise not_watched(call, request)
                if isinstance(request, Decision):
                    self._dropped(lane, tracked, now)
                    decisions.append((tracked, request))
                else:
                    self._confirm(lane, instance, tracked, now, decisions)

    def _ping(
        self, lane: RoleMonitors, instance: Instance, call: str, pulses: Sequence[Pulse]
    ) -> None:
        role = lane.role
        control = role is _CONTROL
        glasses = 0
        for pulse in pulses:
            try:
                tracked, payload = pulse.owner, pulse.ping
            except BaseException as error:
                raise blame(call, error) from error
            if type(tracked) is not Tracked or instance is not (
                tracked.control_instance if control else tracked.candidate_instance
            ):
                raise not_watched(call, pulse)
            if type(payload) is not bytes or len(payload) > LONGEST_PING:
                raise CallFailed(call, f"asked for a ping that cannot be sent: {shown(payload)}")
            if tracked.kind is _GLASSES:
                glasses += 1
            if tracked.acting is role:
                tracked.port.ping(payload)
        lane.pings[_GLASSES] += glasses
        lane.pings[_APP] += len(pulses) - glasses

    def _confirm(
        self,
        lane: RoleMonitors,
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
        if role is _CANDIDATE and tracked.stage != self._allowed(tracked.stage):
            # The brake is engaged and the handover has not come here yet; the candidate begins anew.
            self.set_stage(tracked, tracked.stage, now)
            return
        tracked.ever_decided = True
        tracked.alert = True
        record: Verdict | LateDecision | None = None
        if self._compared(tracked):
            record = self._comparator.decided(
                tracked.connection, tracked.order, role, now, tracked.last_activity, tracked.acting
            )
        acts = tracked.acting is role and tracked.closed_by is None
        if acts and role is _CANDIDATE and self._held_up(tracked, decision, now):
            acts = False
        else:
            self._observer.on(Decided(tracked.connection, role, decision, acts))
        if acts:
            self._act(tracked, role, decision, now)
        if isinstance(record, Verdict):
            self._judged(record, now)
        else:
            if record is not None:
                self._observer.on(record)
            if acts and (record is not None or not self._compared(tracked)):
                self._release(tracked, now)

    def _held_up(self, tracked: Tracked, decision: Decision, now: Time) -> bool:
        """Whether the guard holds this close; then the connection is pinged, and may save itself (R6b)."""
        guard = self.guard
        if guard is None:
            return False
        calm = not guard.holding
        if not guard.holds(decision, now, self._candidate_acts_for):
            return False
        if calm:
            self._observer.on(GuardChanged(True, self._candidate_acts_for, now))
        tracked.port.ping(b"guard")
        return True

    def _end_holds(self, guard: Guard, now: Time) -> None:
        while (decision := guard.release(now)) is not None:
            tracked = self._tracked[decision.connection_id]
            allowed = tracked.stage == self._allowed(tracked.stage)
            self._observer.on(Decided(tracked.connection, _CANDIDATE, decision, allowed))
            if not allowed:
                self.set_stage(tracked, tracked.stage, now)
                continue
            self._act(tracked, _CANDIDATE, decision, now)
            if not self._comparator.is_open(decision.connection_id):
                self._release(tracked, now)
        if guard.calm(now):
            self._observer.on(GuardChanged(False, self._candidate_acts_for, now))

    def _act(self, tracked: Tracked, role: Role, decision: Decision, now: Time) -> None:
        """Let the decision reach the socket; from here on the connection is gone for the monitors."""
        tracked.closed_by = role
        self._candidate_acts_for -= role is _CANDIDATE
        tracked.mute()
        code = next((effect.code for effect in decision.effects if isinstance(effect, Close)), None)
        outcome = self._outcomes.acted(
            tracked.connection, role, now, tracked.last_activity, code, tracked.by_percentage
        )
        for effect in decision.effects:
            if isinstance(effect, Close):
                tracked.port.close(effect)
            elif isinstance(effect, Terminate):
                tracked.port.terminate()
            else:
                tracked.port.forget()
        if outcome is not None:
            self._observer.on(outcome)
