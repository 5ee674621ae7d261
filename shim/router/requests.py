"""Requests: what the monitors ask for when they are woken, looked at and fulfilled.

A ping reaches the socket if its monitor acts, and is counted in any case; a note goes to the observers;
the port is asked for a confirmation. Decisions are collected, so that they are acted on in order.

A driver may give a budget: with very many connections, the event loop must have its turn in between. Then
the pings of one heartbeat are sent in several steps; what the monitor decided in the same wake is decided
at once. A role whose pings wait is not woken before they are sent.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shim.model import Decision, Kind, Note, Pings, Pulse, Request, Role, Time
from shim.router.assignment import Assignment
from shim.router.events import Confirmed, Noted
from shim.router.observer import Observer
from shim.router.role_monitors import Instance, RoleMonitors
from shim.router.tracked import Tracked
from shim.router.validation import (
    LONGEST_PING,
    CallFailed,
    blame,
    check_requests,
    not_watched,
    shown,
)

# A member is found in its enumeration in 70 ns on Python 3.11, which is as long as all else that a ping takes.
_CONTROL = Role.CONTROL
_GLASSES, _APP = Kind.GLASSES, Kind.APP

_CHUNK = 64
"""Pings between two looks at the budget: more than a session has connections."""

Budget: TypeAlias = Callable[[], bool]
"""Asked after each piece of work: whether the rest has to wait for the next step."""

_Collected: TypeAlias = list[tuple[Tracked, Decision]]


@dataclass(slots=True)
class _Waiting:
    """The pings of a heartbeat from the index `begin` on, which are still to be sent."""

    instance: Instance
    call: str
    pulses: Sequence[Pulse]
    begin: int
    since: Time


class Requests:
    """Wakes the monitors of one role whose time has come, and does what they ask for."""

    def __init__(self, assignment: Assignment, observer: Observer) -> None:
        self._assignment = assignment
        self._observer = observer
        self._waiting: dict[Role, deque[_Waiting]] = {role: deque() for role in Role}

    def waiting_since(self, role: Role) -> Time | None:
        """When the pings were asked for that still wait; None: none wait."""
        waiting = self._waiting[role]
        return waiting[0].since if waiting else None

    def wake_due(
        self, monitors: RoleMonitors, now: Time, budget: Budget | None
    ) -> tuple[_Collected, bool]:
        """Wake every monitor that is due, or as many as the budget permits, at least one.

        Answers the decisions, in the order in which they are to be acted on, and whether a wake failed.
        """
        self._send_waiting(monitors, now, budget)
        decisions: _Collected = []
        failed = False
        if self._waiting[monitors.role]:
            return decisions, failed
        for instance in monitors.timers.due(now):
            try:
                requests = monitors.wake(instance, now)
                self._fulfil(monitors, instance, "wake", requests, now, decisions, budget)
                monitors.reschedule(instance, now)
            except CallFailed as failure:
                self._assignment.instance_failed(monitors, instance, failure, now)
                failed = True
            if budget is not None and budget():
                break
        if monitors.by_deadline and len(decisions) > 1:
            decisions.sort(key=lambda decided: (decided[1].deadline, decided[0].order))
        return decisions, failed

    def _send_waiting(self, monitors: RoleMonitors, now: Time, budget: Budget | None) -> None:
        """Send the pings that wait, or as many as the budget permits; none of a discarded instance."""
        waiting = self._waiting[monitors.role]
        while waiting:
            heartbeat = waiting[0]
            try:
                void = heartbeat.instance.discarded
                if not (void or self._go_on(monitors, heartbeat, budget)):
                    break
            except CallFailed as failure:
                self._assignment.instance_failed(monitors, heartbeat.instance, failure, now)
            waiting.popleft()

    def _fulfil(
        self,
        monitors: RoleMonitors,
        instance: Instance,
        call: str,
        requests: list[Request],
        now: Time,
        decisions: _Collected,
        budget: Budget | None,
    ) -> None:
        """Do what a monitor asked for; its decisions are collected, to be acted on in order."""
        check_requests(call, requests, now)
        for request in requests:
            if isinstance(request, Pings):
                if len(request.pulses) <= _CHUNK:
                    self._ping(monitors, instance, call, request.pulses)
                    continue
                heartbeat = _Waiting(instance, call, request.pulses, 0, now)
                if not self._go_on(monitors, heartbeat, budget):
                    self._waiting[monitors.role].append(heartbeat)
            elif isinstance(request, Note):
                self._observer.on(Noted(monitors.role, request.text))
            else:
                tracked = self._assignment.tracked.get(request.connection_id)
                if tracked is None or tracked.instance(monitors.role) is not instance:
                    raise not_watched(call, request)
                if isinstance(request, Decision):
                    self._assignment.dropped(monitors, tracked, now)
                    decisions.append((tracked, request))
                    continue
                evidence = tracked.evidence()
                self._observer.on(Confirmed(tracked.connection, evidence))
                try:
                    answer = monitors.confirmed(instance, tracked.connection, evidence, now)
                    self._fulfil(monitors, instance, "confirmed", answer, now, decisions, budget)
                except CallFailed as failure:
                    self._assignment.connection_failed(monitors, tracked, failure, now)

    def _go_on(self, monitors: RoleMonitors, heartbeat: _Waiting, budget: Budget | None) -> bool:
        """Send the pings of a heartbeat; False if some of them have to wait."""
        pulses = heartbeat.pulses
        while chunk := pulses[heartbeat.begin : heartbeat.begin + _CHUNK]:
            waited = heartbeat.begin > 0
            heartbeat.begin += _CHUNK
            self._ping(monitors, heartbeat.instance, heartbeat.call, chunk, waited=waited)
            if budget is not None and budget():
                break
        return heartbeat.begin >= len(pulses)

    def _ping(
        self,
        monitors: RoleMonitors,
        instance: Instance,
        call: str,
        pulses: Sequence[Pulse],
        *,
        waited: bool = False,
    ) -> None:
        """Ping the connections of these pulses. `waited`: some may have been released meanwhile."""
        role = monitors.role
        control = role is _CONTROL
        glasses = released = 0
        for pulse in pulses:
            try:
                tracked, payload = pulse.owner, pulse.ping
            except BaseException as error:
                raise blame(call, error) from error
            if type(tracked) is not Tracked or instance is not (
                tracked.control_instance if control else tracked.candidate_instance
            ):
                if waited and type(tracked) is Tracked:
                    released += 1
                    continue
                raise not_watched(call, pulse)
            if type(payload) is not bytes or len(payload) > LONGEST_PING:
                raise CallFailed(call, f"asked for a ping that cannot be sent: {shown(payload)}")
            if tracked.kind is _GLASSES:
                glasses += 1
            if tracked.acting is role:
                tracked.port.ping(payload)
        monitors.pings[_GLASSES] += glasses
        monitors.pings[_APP] += len(pulses) - released - glasses
