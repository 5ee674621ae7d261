"""What the ledger knows of the brake: its history, and what the brake that engages by itself goes on with after
a restart (R22).

Rules: docs/design.md#r22.
"""

from collections.abc import Iterable
from dataclasses import replace

from shim.gate.brake_statistics import BrakeRecord
from shim.gate.stretches import recent_days
from shim.gate.trial import TrialIdentity
from shim.ledger.fleet_record import FleetOrder
from shim.ledger.gate_evidence import NO_FLAGS, read_trials
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import BrakeRow, RunRow
from shim.model import Duration, Kind, Time
from shim.model.time import DAY

_MOST_ROWS = 100_000
_MOST_ORDERS = 1000


def read_brake_record(
    reader: LedgerReader, identity: TrialIdentity, now: Time, window: Duration
) -> BrakeRecord:
    """What a process of this identity goes on with: of its trial, and of the same monitors.

    `window` is `brake.window`. Raises InputError if there is no ledger.
    """
    brakes = [row for row in reader.rows(BrakeRow, limit=_MOST_ROWS) if row.at <= now]
    # The run of the process that asks is in the ledger, and its flags are not: it is left out.
    with_flags = identity.flags != NO_FLAGS
    seen = reader.last_seen(now)
    processes = reader.processes(now)
    history = read_trials(reader, now, seen, brakes, processes, only_with_flags=with_flags)
    going_on = [
        trial for trial in history.trials if trial.until is None and trial.identity == identity
    ]
    record = _read_kills(reader, identity.monitors, now, window, brakes)
    if not going_on:
        return record
    (trial,) = going_on
    runs = tuple({span.run for span in trial.spans})
    week = max(trial.since, recent_days(now)[0] * DAY)
    return replace(
        record,
        since=trial.since,
        connected=tuple(reader.coverage_sums(runs, week, now).connected()),
        returns=tuple(
            (kind, row)
            for kind in Kind
            # The windows of some clients that have come back already are not over.
            for row in reader.settled_actions(
                kind, runs, week, now + DAY, acted_from=trial.since
            ).returns()
        ),
    )


def read_brake_history(reader: LedgerReader) -> list[FleetOrder]:
    """The orders to the brake, the newest first: those to a fleet, or else those of the process, or of the
    processes whose ledgers were pushed.

    Raises InputError if there is no ledger.
    """
    orders = reader.orders(_MOST_ORDERS)
    if orders:
        return orders
    for row in reversed(reader.rows(BrakeRow)):
        # Each process of a fleet has a row of an order.
        if not orders or (orders[-1].engaged, orders[-1].reason) != (row.engaged, row.reason):
            orders.append(
                FleetOrder(engaged=row.engaged, reason=row.reason, process=None, at=row.at)
            )
    return orders[::-1]


def _read_kills(
    reader: LedgerReader,
    monitors: str,
    now: Time,
    window: Duration,
    brakes: Iterable[BrakeRow],
) -> BrakeRecord:
    """The false kills of these monitors since the last release: a change of the flags changes nothing."""
    runs = [row for row in reader.rows(RunRow, limit=_MOST_ROWS) if row.monitors == monitors]
    released = [row.at for row in brakes if not row.engaged]
    since = max(min((row.started_at for row in runs), default=now), *released, 0)
    numbers = [row.id for row in runs]
    counted = max(since, min(now // DAY * DAY, now - window))
    return BrakeRecord(
        since=now,
        kills_since=since,
        decisions=tuple(reader.candidate_decisions(numbers, counted)),
        kills=tuple(reader.false_kills(numbers, counted)),
    )
