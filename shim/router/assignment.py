"""Who watches which connection, whatever happens to the monitors (R4, R5) and to the stages (R21).

A monitor that begins to watch is told the true time of the last sign of life, and begins before
another one lets go. One that fails is replaced by the other, or by a fresh instance of itself.
"""

from collections.abc import ValuesView

from shim.compare import Comparator, Outcomes
from shim.model import (
    Connection,
    Duration,
    MonitorFailure,
    Monitors,
    Role,
    Stage,
    Time,
    Verdict,
)
from shim.router.events import BrakeChanged, Decided, Noted, StageChanged
from shim.router.guard import Guard
from shim.router.observer import Observer
from shim.router.role_monitors import STRIKES, Instance, Meter, RoleMonitors
from shim.router.tracked import Tracked
from shim.router.validation import CallFailed


class Watching:
    """The connections, the lanes, and the register of who watches whom."""

    def __init__(
        self,
        monitors: Monitors,
        comparator: Comparator,
        outcomes: Outcomes,
        observer: Observer,
        start: Time,
        meter: Meter | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._comparator = comparator
        self._outcomes = outcomes
        self._observer = observer
        self._tracked: dict[str, Tracked] = {}
        self._opened = 0
        self._now = start
        self.brake_reason: str | None = None
        self.guard = guard
        self._candidate_acts_for = 0
        self._lanes: dict[Role, RoleMonitors] = {}
        if monitors.control is not None:
            self._lanes[Role.CONTROL] = RoleMonitors(Role.CONTROL, *monitors.control, start)
        self._lanes[Role.CANDIDATE] = RoleMonitors(
            Role.CANDIDATE, *monitors.candidate, start, meter, self._slow
        )
        for lane in self._lanes.values():
            try:
                lane.start(start)
            except CallFailed as failure:
                self._strike(lane, failure, start)

    def connections(self) -> ValuesView[Tracked]:
        """The connections that are open, or of which the shadow still has to decide."""
        return self._tracked.values()

    def __contains__(self, connection_id: str) -> bool:
        return connection_id in self._tracked

    def lane(self, role: Role) -> RoleMonitors | None:
        return self._lanes.get(role)

    def set_stage(
        self, tracked: Tracked, stage: Stage, now: Time, *, by_percentage: bool | None = None
    ) -> None:
        """Move an open connection: the new monitor first, with the true `last_seen` (R4, R21).

        `by_percentage`: whether chance gave the stage; None: as before.
        """
        before, stage = tracked.stage, self._allowed(stage)
        if by_percentage is not None:
            tracked.by_percentage = by_percentage
        if tracked.closed_by is not None or before == stage:
            return
        self._begin(now)
        if verdict := self._comparator.handed_over(tracked.connection.id, now):
            self._observer.on(verdict)
        tracked.stage = stage
        self._watch_all(tracked, now, tracked.last_activity)
        if tracked.acting is not None:
            self._let_act(tracked, self._acting(tracked))
        for role in self._lanes:
            if role is not tracked.acting and role not in self._roles(stage):
                self._unwatch(tracked, role, now)
        self._observer.on(StageChanged(tracked.connection, before, stage, now))

    def engage_brake(self, reason: str, now: Time) -> None:
        """Let nobody be further than `shadow` (R22).

        From now on the candidate closes nobody; `set_stage` moves the connections that are open.
        """
        if self.brake_reason is None:
            self.brake_reason = reason
            self._observer.on(BrakeChanged(True, reason, now))

    def restore_brake(self, reason: str) -> None:
        """The brake is engaged as it was left before a restart: nothing has changed, and nobody is told."""
        self.brake_reason = reason

    def release_brake(self, reason: str, now: Time) -> None:
        """Let everyone be where the flags say; `set_stage` moves the connections that are open."""
        if self.brake_reason is not None:
            self.brake_reason = None
            self._observer.on(BrakeChanged(False, reason, now))

    # -- Watching --------------------------------------------------------------------------------------

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

    def _dropped(self, lane: RoleMonitors, tracked: Tracked, now: Time) -> None:
        """The monitor that watched, if one did, knows the connection no more."""
        if (instance := tracked.instance(lane.role)) is not None:
            tracked.detach(lane.role)
            lane.dropped(instance, tracked.connection, now)

    def _release(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone, and nothing about it is undecided."""
        del self._tracked[tracked.connection.id]
        self._comparator.forget(tracked.connection.id)
        for role in self._lanes:
            self._unwatch(tracked, role, now)

    def _begin(self, now: Time) -> None:
        """Whatever happens at `now`, windows that ended before are over (R10, R15)."""
        self._now = now
        for verdict in self._comparator.expire(now):
            self._judged(verdict, now)
        for outcome in self._outcomes.expire(now):
            self._observer.on(outcome)

    def _judged(self, verdict: Verdict, now: Time) -> None:
        """An episode ended; if its connection was closed, nobody needs to watch it any more (R6)."""
        self._observer.on(verdict)
        tracked = self._tracked.get(verdict.connection.id)
        if tracked is not None and tracked.closed_by is not None:
            self._release(tracked, now)

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

    def _let_act(self, tracked: Tracked, role: Role) -> None:
        """From now on this monitor's effects reach the connection; a close that is held goes nowhere."""
        self._candidate_acts_for += (role is Role.CANDIDATE) - (tracked.acting is Role.CANDIDATE)
        tracked.acting = role
        if role is Role.CONTROL:
            self._save(tracked)

    def _save(self, tracked: Tracked) -> None:
        """If the close of this connection is held, it is no longer wanted (R6b)."""
        if self.guard is not None and (decision := self.guard.forget(tracked.connection.id)):
            self._observer.on(Decided(tracked.connection, Role.CANDIDATE, decision, False))

    # -- Failures (R4, R5) -----------------------------------------------------------------------------

    def _connection_failed(
        self, lane: RoleMonitors, tracked: Tracked, failure: CallFailed, now: Time
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
        self, lane: RoleMonitors, instance: Instance, failure: CallFailed, now: Time
    ) -> None:
        """A call about no single connection failed: a fresh instance takes the connections."""
        self._strike(lane, failure, now)
        lane.discard(instance)
        watched = [t for t in self._tracked.values() if t.instance(lane.role) is instance]
        self._quarantine_if_due(lane, now)
        self._replace(lane, watched, failure, now)

    def _replace(
        self, lane: RoleMonitors, watched: list[Tracked], failure: CallFailed, now: Time
    ) -> None:
        role = lane.role
        for tracked in watched:
            self._dropped(lane, tracked, now)
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
                    self._observer.on(verdict)
                self._let_act(tracked, role)
            return
        # The next sign of life tries again.
        tracked.alert = True
        self._observer.on(Noted(failed, f"no monitor is able to watch {tracked.connection.id}"))

    def _strike(self, lane: RoleMonitors, failure: CallFailed, now: Time) -> None:
        """A failure that counts against the plugin: for ever, or, without a successor, for now."""
        self._report(lane.role, failure, now)
        if now != lane.struck_at and not self._may_be_quarantined(lane):
            lane.strikes = 0
        lane.strikes += 1
        lane.struck_at = now

    def _may_be_quarantined(self, lane: RoleMonitors) -> bool:
        """Only the candidate, and only where there is a control to take over."""
        return lane.role is Role.CANDIDATE and Role.CONTROL in self._lanes

    def _quarantine_if_due(self, lane: RoleMonitors, now: Time) -> None:
        """Three strikes, and the candidate runs no more."""
        if lane.quarantined or lane.strikes < STRIKES or not self._may_be_quarantined(lane):
            return
        failure = CallFailed("quarantine", f"failed {lane.strikes} times")
        self._report(lane.role, failure, now)
        watched = [t for t in self._tracked.values() if t.instance(lane.role) is not None]
        lane.quarantine()
        self._replace(lane, watched, failure, now)

    def _slow(self, call: str, cpu: Duration) -> None:
        """A candidate's call took too long; its answer stands, but not too often."""
        lane = self._lanes[Role.CANDIDATE]
        failure = CallFailed(call, f"took {cpu / 1000:.0f} ms of CPU")
        if self._may_be_quarantined(lane):
            self._strike(lane, failure, self._now)
        else:  # it is no reason not to be called again
            self._report(lane.role, failure, self._now)

    def _report(
        self, role: Role, failure: CallFailed, now: Time, connection: Connection | None = None
    ) -> None:
        self._observer.on(MonitorFailure(role, failure.call, failure.reason, now, connection))

    def _error_verdict(self, tracked: Tracked, now: Time) -> None:
        if self._compared(tracked) and (
            verdict := self._comparator.failed(
                tracked.connection, tracked.order, now, tracked.last_activity, tracked.acting
            )
        ):
            tracked.alert = True
            self._observer.on(verdict)
