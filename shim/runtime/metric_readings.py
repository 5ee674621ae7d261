"""The numbers of a running shim that a scrape looks up, without visiting connections.

Rules: docs/design.md#r23, docs/design.md#r25.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from shim.ledger.process_record import StoreStatus
from shim.ledger.protocols import LedgerWriter
from shim.model import Role, seconds
from shim.runtime.coordinator import Coordinator
from shim.runtime.fleet_member import FleetMember
from shim.telemetry import Readings, Tracing


def metric_readings(
    coordinator: Coordinator[Any],
    ledger: LedgerWriter,
    traced: Tracing | None,
    fleet: Callable[[], FleetMember | None],
) -> Readings:
    """What there is to read: about traces and about a fleet only if there are any."""
    candidate = coordinator.router.monitors(Role.CANDIDATE)
    assert candidate is not None

    def commit_age() -> float:
        last = ledger.status().last_commit
        return 0.0 if last is None else seconds(coordinator.wall() - last)

    readings = Readings(
        sessions=lambda: len(coordinator.sessions),
        open_episodes=lambda: coordinator.open_episodes,
        brake_engaged=lambda: coordinator.router.brake_reason is not None,
        candidate_quarantined=lambda: candidate.quarantined,
        clock_ahead_seconds=lambda: seconds(coordinator.wall.ahead),
        ledger_degraded=lambda: ledger.status().problem is not None,
        ledger_queued_rows=lambda: ledger.status().queued,
        ledger_dropped_rows=lambda: ledger.status().dropped,
        ledger_commit_age_seconds=commit_age,
    )
    if traced is not None:
        delivery = traced.delivery
        readings = replace(
            readings,
            trace_collector_answers=lambda: delivery.answers,
            trace_queued_spans=lambda: delivery.queued,
            trace_sent_spans=lambda: delivery.sent,
            trace_dropped_spans=lambda: delivery.dropped,
        )
    if ledger.process is None:
        return readings
    return _with_fleet(readings, coordinator, ledger, fleet)


def _with_fleet(
    readings: Readings,
    coordinator: Coordinator[Any],
    ledger: LedgerWriter,
    fleet: Callable[[], FleetMember | None],
) -> Readings:
    def store() -> StoreStatus:
        status = ledger.status().store
        assert status is not None
        return status

    def record_age() -> float:
        status = store()
        if status.complete_until is None:
            return seconds(coordinator.wall() - coordinator.wall.started_at)
        return seconds(coordinator.wall() + (status.clock_offset or 0) - status.complete_until)

    def is_linked() -> bool:
        member = fleet()
        return member is not None and member.problem is None

    def leads() -> bool:
        member = fleet()
        return member is not None and member.leads

    def concluded_age() -> float:
        member = fleet()
        return 0.0 if member is None else member.concluded_age

    has_brake = coordinator.settings.monitors.control is not None
    return replace(
        readings,
        store_answers=lambda: store().problem is None,
        store_waiting_rows=lambda: store().waiting,
        store_record_age_seconds=record_age,
        store_clock_offset_seconds=lambda: seconds(store().clock_offset or 0),
        fleet_linked=is_linked,
        fleet_leader=leads if has_brake else None,
        fleet_concluded_age_seconds=concluded_age,
    )
