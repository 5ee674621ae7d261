"""Requests: what the monitors ask for when they are woken, looked at and fulfilled.

A ping reaches the socket if its monitor acts, and is counted in any case; a note goes to the observers;
the port is asked for a confirmation. Decisions are collected, so that they are acted on in order.
"""

from collections.abc import Sequence
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

_Collected: TypeAlias = list[tuple[Tracked, Decision]]


class Requests:
    """Wakes the monitors of one role whose time has come, and does what they ask for."""

    def __init__(self, assignment: Assignment, observer: Observer) -> None:
        self._assignment = assignment
        self._observer = observer

    def wake_due(self, monitors: RoleMonitors, now: Time) -> tuple[_Collected, bool]:
        """Wake every monitor that is due.

        Answers the decisions, in the order in which they are to be acted on, and whether a call failed.
        """
        failed = False
        decisions: _Collected = []
        for instance in monitors.timers.due(now):
            try:
                requests = monitors.wake(instance, now)
                self._fulfil(monitors, instance, "wake", requests, now, decisions)
                monitors.reschedule(instance, now)
            except CallFailed as failure:
                self._assignment.instance_failed(monitors, instance, failure, now)
                failed = True
        if monitors.by_deadline and len(decisions) > 1:
            decisions.sort(key=lambda decided: (decided[1].deadline, decided[0].order))
        return decisions, failed

    def _fulfil(
        self,
        monitors: RoleMonitors,
        instance: Instance,
        call: str,
        requests: list[Request],
        now: Time,
        decisions: _Collected,
    ) -> None:
        """Do what a monitor asked for; its decisions are collected, to be acted on in order."""
        check_requests(call, requests, now)
        for request in requests:
            if isinstance(request, Pings):
                self._ping(monitors, instance, call, request.pulses)
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
                    self._fulfil(monitors, instance, "confirmed", answer, now, decisions)
                except CallFailed as failure:
                    self._assignment.connection_failed(monitors, tracked, failure, now)

    def _ping(
        self, monitors: RoleMonitors, instance: Instance, call: str, pulses: Sequence[Pulse]
    ) -> None:
        role = monitors.role
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
        monitors.pings[_GLASSES] += glasses
        monitors.pings[_APP] += len(pulses) - glasses
