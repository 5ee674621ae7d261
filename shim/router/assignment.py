"""The assignment: which monitor watches which connection, and which one acts for it.

It holds whatever happens to the monitors (R4, R5), to the stages (R21) and to the brake (R22): every open
connection is watched. A monitor that begins to watch gets the true time of the last sign of life, and
begins before another one lets go. A monitor that fails is replaced by the other role's monitor, or by a
fresh instance of its own plugin.

Rules: docs/design.md#r4, docs/design.md#r5, docs/design.md#r6, docs/design.md#r6b,
docs/design.md#r11, docs/design.md#r12, docs/design.md#r21, docs/design.md#r22.
"""

from shim.compare.comparator import Comparator
from shim.model import (
    SECOND,
    Connection,
    Duration,
    MonitorFailure,
    Monitors,
    Role,
    Stage,
    Time,
    without_details,
)
from shim.model.records import QUARANTINE
from shim.router.events import BrakeChanged, Decided, Noted, StageChanged
from shim.router.guard import Guard
from shim.router.observer import Observer
from shim.router.role_monitors import STRIKES, Instance, Meter, RoleMonitors
from shim.router.tracked import Tracked
from shim.router.validation import CallFailed

# On Python 3.11 it takes 70 ns to find a member in its enumeration.
_CONTROL, _CANDIDATE = Role.CONTROL, Role.CANDIDATE

_RETRY: Duration = SECOND
"""When no monitor was able to watch a connection, they are asked again so long after."""


class Assignment:
    """The connections, the monitors of each role, and what each monitor has to do with each connection.

    Attributes:
        tracked: by connection id, the connections that are open, or of which the shadow still has to
            decide.
        control, candidate: the monitors of each role; a retired shim has no control.
        monitors: the control, if there is one, and the candidate.
        brake_reason: why the brake is engaged; None if it is not.
        candidate_acts_for: the number of open connections that the candidate acts for.
        now: the time of what is happening; a call that takes too long is reported with it.
    """

    def __init__(
        self,
        monitors: Monitors,
        *,
        comparator: Comparator,
        observer: Observer,
        start: Time,
        meter: Meter | None,
        guard: Guard | None,
    ) -> None:
        self._comparator = comparator
        self._observer = observer
        self._guard = guard
        self.brake_reason: str | None = None
        self.tracked: dict[str, Tracked] = {}
        self.candidate_acts_for = 0
        # The connections that no monitor was able to watch, and when the monitors are asked again.
        self._orphans: dict[str, Tracked] = {}
        self.retry_at: Time | None = None
        self.now = start
        self.control: RoleMonitors | None = None
        if monitors.control is not None:
            self.control = RoleMonitors(_CONTROL, *monitors.control, start)
        self.candidate = RoleMonitors(
            _CANDIDATE, *monitors.candidate, start, meter=meter, on_slow=self._slow
        )
        self.monitors: tuple[RoleMonitors, ...] = (
            (self.candidate,) if self.control is None else (self.control, self.candidate)
        )
        for of_role in self.monitors:
            try:
                of_role.start(start)
            except CallFailed as failure:
                self._strike(of_role, failure, start)

    # -- Connections -----------------------------------------------------------------------------------

    def add(self, tracked: Tracked) -> None:
        """A connection was opened; `watch` is called next."""
        self.tracked[tracked.connection.id] = tracked
        self.candidate_acts_for += tracked.acting is _CANDIDATE

    def ended(self, tracked: Tracked) -> None:
        """The connection is open no longer; monitors may still have to decide on it (R6)."""
        self.candidate_acts_for -= tracked.acting is _CANDIDATE

    def release(self, tracked: Tracked, now: Time) -> None:
        """The connection is gone, and nothing about it is undecided."""
        del self.tracked[tracked.connection.id]
        self._comparator.forget(tracked.connection.id)
        for monitors in self.monitors:
            self._unwatch(monitors, tracked, now)

    def save(self, tracked: Tracked) -> None:
        """If the guard holds the close of this connection, the close is no longer wanted (R6b)."""
        if self._guard is not None and (decision := self._guard.forget(tracked.connection.id)):
            self._observer.on(
                Decided(
                    connection=tracked.connection,
                    role=_CANDIDATE,
                    decision=decision,
                    acted=False,
                    placement=tracked.placement,
                )
            )

    # -- Stages (R21, R22) -----------------------------------------------------------------------------

    def engage_brake(self, reason: str, now: Time, *, by_itself: bool) -> None:
        """From now on `allowed` is at most `shadow`."""
        if self.brake_reason is None:
            self.brake_reason = reason
            self._observer.on(BrakeChanged(True, reason, now, by_itself))

    def restore_brake(self, reason: str) -> None:
        """The brake is engaged as it was left before a restart: nothing changes, so there is no event."""
        self.brake_reason = reason

    def release_brake(self, reason: str, now: Time) -> None:
        if self.brake_reason is not None:
            self.brake_reason = None
            self._observer.on(BrakeChanged(False, reason, now))

    def allowed(self, stage: Stage) -> Stage:
        """The stage as the brake and the plugins at hand allow it."""
        if self.control is None:
            return Stage.COMPLETE
        if self.brake_reason is not None or self.candidate.quarantined:
            return min(stage, Stage.SHADOW)
        return stage

    def move(self, tracked: Tracked, stage: Stage, now: Time) -> None:
        """Move an open connection to an allowed stage: the new monitor first (R4)."""
        before = tracked.stage
        self._hand_over(tracked, now)
        tracked.stage = stage
        self.watch(tracked, now, tracked.last_activity)
        # The candidate may have failed for good meanwhile: then the user goes no further than `shadow`.
        tracked.stage = stage = self.allowed(stage)
        if tracked.acting is not None:
            wanted = stage.acting
            self._let_act(tracked, wanted.other if tracked.instance(wanted) is None else wanted)
        for monitors in self.monitors:
            if monitors.role is not tracked.acting and monitors not in self._watchers(stage):
                self._unwatch(monitors, tracked, now)
        self._observer.on(StageChanged(tracked.connection, before, stage, now))

    def _hand_over(self, tracked: Tracked, now: Time) -> None:
        """The monitors' roles change under the connection: an open episode ends (R11)."""
        if verdict := self._comparator.handed_over(tracked.connection.id, now):
            self._observer.on(verdict)

    def _let_act(self, tracked: Tracked, role: Role) -> None:
        """From now on this monitor's effects reach the connection; a close that is held goes nowhere."""
        self.candidate_acts_for += (role is _CANDIDATE) - (tracked.acting is _CANDIDATE)
        tracked.acting = role
        self.save(tracked)

    # -- Watching --------------------------------------------------------------------------------------

    def watch(self, tracked: Tracked, now: Time, last_seen: Time) -> None:
        """Let every monitor of the stage that does not watch the connection do so."""
        for monitors in self._watchers(tracked.stage):
            role = monitors.role
            if tracked.instance(role) is None and tracked.failed is not role:
                try:
                    self._register(monitors, tracked, now, last_seen)
                except CallFailed as failure:
                    self.connection_failed(monitors, tracked, failure, now)

    def dropped(self, monitors: RoleMonitors, tracked: Tracked, now: Time) -> None:
        """The monitor that watched, if one did, does not know the connection any more."""
        if (instance := tracked.instance(monitors.role)) is not None:
            tracked.detach(monitors.role)
            monitors.dropped(instance, tracked.connection, now)

    def _watchers(self, stage: Stage) -> tuple[RoleMonitors, ...]:
        """The monitors that are to watch at this stage: no quarantined candidate, and no retired control."""
        if stage is Stage.OFF or self.candidate.quarantined:
            return self.monitors[:1]
        return (self.candidate,) if stage is Stage.COMPLETE else self.monitors

    def _register(
        self, monitors: RoleMonitors, tracked: Tracked, now: Time, last_seen: Time
    ) -> None:
        instance, pulse = monitors.register(tracked.connection, now, last_seen)
        tracked.attach(monitors.role, instance, pulse)
        try:
            monitors.reschedule(instance)
        except CallFailed as failure:
            self.instance_failed(monitors, instance, failure, now)

    def _unwatch(self, monitors: RoleMonitors, tracked: Tracked, now: Time) -> None:
        role = monitors.role
        instance = tracked.instance(role)
        if instance is None:
            return
        tracked.detach(role)
        try:
            monitors.unregister(instance, tracked.connection, now)
        except CallFailed as failure:
            self._report(role, failure, now, tracked.connection)

    def watch_orphans(self, now: Time) -> None:
        """Try again to have the connections watched that no monitor was able to watch (R4)."""
        orphans, self._orphans, self.retry_at = self._orphans, {}, None
        for id, tracked in orphans.items():
            if id not in self.tracked or tracked.closed_by is not None:
                continue
            tracked.failed = None
            self.watch(tracked, now, tracked.last_activity)
            wanted = tracked.stage.acting
            role = wanted if tracked.instance(wanted) is not None else wanted.other
            if tracked.instance(role) is None:
                self._watch_again_later(tracked, now)
            elif tracked.acting is not role:
                self._hand_over(tracked, now)
                self._let_act(tracked, role)

    def _watch_again_later(self, tracked: Tracked, now: Time) -> None:
        self._orphans[tracked.connection.id] = tracked
        self.retry_at = now + _RETRY

    # -- Failures (R4, R5) -----------------------------------------------------------------------------

    def connection_failed(
        self, monitors: RoleMonitors, tracked: Tracked, failure: CallFailed, now: Time
    ) -> None:
        """A call about one connection failed: that monitor is not asked about the connection again."""
        role = monitors.role
        if failure.about_connection:
            self._report(role, failure, now, tracked.connection)
        else:
            self._strike(monitors, failure, now)
        tracked.failed = role
        self._error_verdict(tracked, now)
        self._unwatch(monitors, tracked, now)
        if tracked.closed_by is not None:
            self.release(tracked, now)
        elif tracked.acting is role:
            self._take_over(monitors, tracked, failure, now)
        self.quarantine_if_due(monitors, now)

    def instance_failed(
        self, monitors: RoleMonitors, instance: Instance, failure: CallFailed, now: Time
    ) -> None:
        """A call about no single connection failed: a fresh instance takes the connections."""
        self._strike(monitors, failure, now)
        monitors.discard(instance)
        watched = [t for t in self.tracked.values() if t.instance(monitors.role) is instance]
        self.quarantine_if_due(monitors, now)
        self._replace(monitors, watched, failure, now)

    def quarantine_if_due(self, monitors: RoleMonitors, now: Time) -> None:
        """Three strikes, and the candidate runs no more."""
        role = monitors.role
        if (
            monitors.quarantined
            or monitors.strikes < STRIKES
            or not self._may_be_quarantined(monitors)
        ):
            return
        failure = CallFailed(QUARANTINE, f"failed {monitors.strikes} times")
        self._report(role, failure, now)
        watched = [t for t in self.tracked.values() if t.instance(role) is not None]
        monitors.quarantine()
        self._replace(monitors, watched, failure, now)

    def _replace(
        self, monitors: RoleMonitors, watched: list[Tracked], failure: CallFailed, now: Time
    ) -> None:
        role = monitors.role
        for tracked in watched:
            self.dropped(monitors, tracked, now)
        for tracked in watched:
            if tracked.closed_by is not None:
                # A quarantine may have released the connection already, with its verdict.
                if tracked.connection.id in self.tracked:
                    self._error_verdict(tracked, now)
                if tracked.connection.id in self.tracked:
                    self.release(tracked, now)
                continue
            if tracked.acting is role:
                self._take_over(monitors, tracked, failure, now)
            self.watch(tracked, now, tracked.last_activity)

    def _take_over(
        self, failed: RoleMonitors, tracked: Tracked, failure: CallFailed, now: Time
    ) -> None:
        """The acting monitor failed: the other one acts, else a fresh instance of the same."""
        control, candidate = self.control, self.candidate
        if control is None:
            successors: tuple[RoleMonitors, ...] = (candidate,)
        elif failed is candidate:
            # The brake's reason is shown to everybody; the failure itself has the details.
            what = f"{failure.call}: {without_details(failure.reason)}"
            self.engage_brake(f"the acting candidate failed: {what}", now, by_itself=True)
            successors = control, candidate
        elif tracked.candidate_instance is None:
            # The stage `off` keeps the candidate away: there a fresh control is tried first.
            successors = control, candidate
        else:
            successors = candidate, control
        for monitors in successors:
            role = monitors.role
            if monitors.quarantined:
                continue
            if tracked.instance(role) is None:
                try:
                    self._register(monitors, tracked, now, tracked.last_activity)
                except CallFailed as again:
                    self._report(role, again, now, tracked.connection)
                if tracked.instance(role) is None:
                    continue
            if tracked.acting is not role:
                self._hand_over(tracked, now)
                self._let_act(tracked, role)
            return
        self._watch_again_later(tracked, now)
        self._observer.on(
            Noted(failed.role, f"no monitor is able to watch {tracked.connection.id}")
        )

    def _strike(self, monitors: RoleMonitors, failure: CallFailed, now: Time) -> None:
        """A failure that counts against the plugin: for ever, or, without a successor, for now."""
        self._report(monitors.role, failure, now)
        if now != monitors.struck_at and not self._may_be_quarantined(monitors):
            monitors.strikes = 0
        monitors.strikes += 1
        monitors.struck_at = now

    def _may_be_quarantined(self, monitors: RoleMonitors) -> bool:
        """Only the candidate, and only where there is a control to take over."""
        return monitors.role is _CANDIDATE and self.control is not None

    def _slow(self, call: str, cpu: Duration) -> None:
        """A candidate's call took too long; its answer stands, but not too often."""
        failure = CallFailed(call, f"took {cpu / 1000:.0f} ms of CPU")
        if self._may_be_quarantined(self.candidate):
            self._strike(self.candidate, failure, self.now)
        else:  # it is no reason not to be called again
            self._report(_CANDIDATE, failure, self.now)

    def _report(
        self, role: Role, failure: CallFailed, now: Time, connection: Connection | None = None
    ) -> None:
        self._observer.on(
            MonitorFailure(
                role=role, call=failure.call, reason=failure.reason, at=now, connection=connection
            )
        )

    def _error_verdict(self, tracked: Tracked, now: Time) -> None:
        """The failure ends the silence's comparison, if there is one (R12)."""
        if tracked.compared and (verdict := self._comparator.failed(tracked, now)):
            tracked.alert = True
            self._observer.on(verdict)
