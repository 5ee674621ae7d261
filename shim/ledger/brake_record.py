"""What the ledger knows of the time before a restart, for the brake that engages by itself (R22).

Rules: docs/design.md#r22.
"""

from collections.abc import Set

from shim.gate import BrakeRecord, TrialIdentity
from shim.gate.series import DAY
from shim.gate.stretches import recent_days
from shim.ledger.gate_evidence import NO_FLAGS, read_trials
from shim.ledger.protocols import LedgerReader, VerdictFilter
from shim.ledger.rows import BrakeRow, DecisionRow, ProofRow, RunRow
from shim.ledger.trial_record import return_rows
from shim.model import Kind, Role, Time, VerdictKind, VerdictName

_MOST_ROWS = 100_000


def read_brake_record(reader: LedgerReader, identity: TrialIdentity, now: Time) -> BrakeRecord:
    """The record of the trial that a process of this identity goes on with; else an empty one.

    Raises InputError if there is no ledger.
    """
    brakes = reader.rows(BrakeRow, limit=_MOST_ROWS)
    # The run of the process that asks is in the ledger, and its flags are not: it is left out.
    with_flags = identity.flags != NO_FLAGS
    trials, _ = read_trials(reader, now, reader.last_seen(now), brakes, only_with_flags=with_flags)
    going_on = [trial for trial in trials if trial.until is None and trial.identity == identity]
    if not going_on:
        return BrakeRecord(now)
    (trial,) = going_on
    runs = tuple({span.run for span in trial.spans})
    week = max(trial.since, recent_days(now)[0] * DAY)
    released = [row.at for row in brakes if not row.engaged and row.at <= now]
    # The days of false kills go on when the flags change, and are about these monitors alone.
    today = max(now // DAY * DAY, *released) if released else now // DAY * DAY
    same_monitors = {
        row.id for row in reader.rows(RunRow, limit=_MOST_ROWS) if row.monitors == identity.monitors
    }
    return BrakeRecord(
        trial.since,
        connected=tuple(
            (row.kind, row.run, row.since, row.at, row.control_users + row.candidate_users)
            for row in reader.coverage_sums(runs, week, now)
        ),
        returns=tuple(
            (kind, row)
            for kind in Kind
            for row in return_rows(reader.settled_actions(kind, runs, week, now))
        ),
        decisions=tuple(
            sorted(
                (
                    (row.user, row.at)
                    for row in reader.rows(DecisionRow, since=today, limit=_MOST_ROWS)
                    if row.role is Role.CANDIDATE and row.run in same_monitors
                ),
                key=lambda decided: decided[1],
            )
        ),
        kills=tuple(sorted(_kills(reader, same_monitors, today), key=lambda kill: kill[1])),
    )


def _kills(reader: LedgerReader, runs: Set[int], since: Time) -> list[tuple[str, Time]]:
    wrong = VerdictFilter(
        verdict=VerdictName.MISMATCHED,
        kind=VerdictKind.ONLY_CANDIDATE,
        recovered=True,
        since=since,
    )
    verdicts = reader.verdicts(wrong, limit=_MOST_ROWS).rows
    proofs = reader.rows(ProofRow, since=since, limit=_MOST_ROWS)
    return [
        *((row.user, row.at) for row in verdicts if row.run in runs),
        *((row.user, row.at) for row in proofs if row.role is Role.CANDIDATE and row.run in runs),
    ]
