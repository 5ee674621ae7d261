"""The evidence that the gate reads, from a ledger (R14 to R16). Times are by the wall clock.

Every period begins with its first instant and ends before its `until`. Only a coverage row is about a
stretch of time itself: it belongs to the period in which it ends.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shim.gate import (
    EPISODES,
    Evidence,
    KindEvidence,
    Observations,
    Observed,
    Sample,
    Shares,
)
from shim.ledger import LedgerReader
from shim.ledger.rows import ActionRow, CoverageRow, FailureRow, ProofRow, Row, RunRow, VerdictRow
from shim.model import Duration, Kind, Return, Role, Time, VerdictName
from shim.model.records import QUARANTINE
from shim.settings import Settings

GATE_ROWS: frozenset[type[Row]] = frozenset(
    (RunRow, VerdictRow, ActionRow, ProofRow, FailureRow, CoverageRow)
)
"""What the gate's evidence is made of: nothing else has to be in the ledger for it."""

_MOST_RUNS = 10_000
_CONCLUSIVE = (VerdictName.MATCHED, VerdictName.MISMATCHED)


def gate_evidence(reader: LedgerReader, settings: Settings, now: Time) -> Evidence:
    """The evidence of the gate's period at `now`. Raises InputError if there is no ledger."""
    epoch_start = _epoch_start(reader.rows(RunRow, limit=_MOST_RUNS))
    since = now if epoch_start is None else epoch_start
    both_until = [reader.watched(kind, since, now).both_until for kind in Kind]
    period_end = max((until for until in both_until if until is not None), default=None)
    if period_end is None:
        return Evidence(now, epoch_start=epoch_start, expired_rules=_expired(settings, now))
    period_start = max(since, period_end - settings.gate.period)
    # The period includes the instant at which its last coverage row ends.
    return _evidence(reader, settings, since, period_start, period_end + 1, now)


def evidence_since(reader: LedgerReader, settings: Settings, since: Time, now: Time) -> Evidence:
    """The evidence from `since` on: one span, as both period and epoch, whichever monitor acted."""
    return _evidence(reader, settings, since, since, now, now)


def _evidence(
    reader: LedgerReader,
    settings: Settings,
    epoch_start: Time,
    period_start: Time,
    period_end: Time,
    now: Time,
) -> Evidence:
    failures = [
        (call, count)
        for (role, _, call), count in reader.failures(period_start, period_end).items()
        if role is Role.CANDIDATE
    ]
    spans = _Span(reader, settings, period_start, period_end, now)
    epoch = _Span(reader, settings, epoch_start, period_end, now)
    return Evidence(
        now,
        period_start,
        period_end,
        epoch_start,
        tuple(spans.of(kind, epoch) for kind in reader.kinds(period_start, period_end)),
        failures=sum(count for call, count in failures if call != QUARANTINE),
        quarantines=sum(count for call, count in failures if call == QUARANTINE),
        expired_rules=_expired(settings, now),
    )


def _epoch_start(runs: Iterable[RunRow]) -> Time | None:
    """Since when monitors and comparison are what they are; `runs` are the newest first."""
    start: Time | None = None
    newest: tuple[str, str] | None = None
    for run in runs:
        newest = newest or (run.settings, run.version)
        if (run.settings, run.version) != newest:
            break
        start = run.started_at
    return start


def _expired(settings: Settings, now: Time) -> tuple[str, ...]:
    today = datetime.fromtimestamp(now / 1e6, UTC).date()
    return tuple(rule.name for rule in settings.comparison.expected if rule.until < today)


@dataclass(frozen=True, slots=True)
class _Span:
    """The rows of one stretch of time."""

    reader: LedgerReader
    settings: Settings
    since: Time
    until: Time
    now: Time

    def of(self, kind: Kind, epoch: "_Span") -> KindEvidence:
        reader, since, until = self.reader, self.since, self.until
        agreed = self._agreements(kind)
        sample = self._sample(kind, agreed)
        watched = reader.watched(kind, since, until)
        results = reader.results(kind, since, until)
        unproving = reader.unproving(kind, since, until)
        others = dict.fromkeys(VerdictName, 0)
        for (name, _), count in unproving.all.items():
            others[name] += count
        return KindEvidence(
            kind,
            sample,
            sample if epoch.since == since else epoch._sample(kind, epoch._agreements(kind)),
            matched=agreed.successes,
            mismatched=agreed.rows - agreed.successes,
            expected=unproving.proving[VerdictName.EXPECTED],
            inconclusive=others[VerdictName.INCONCLUSIVE],
            acting_first=sum(others[name] for name in _CONCLUSIVE),
            users=agreed.users,
            unsettled_users=agreed.unsettled,
            days=agreed.days,
            acted={
                role: sum(count for (by, _), count in results.items() if by is role)
                for role in Role
            },
            proofs=reader.proofs(kind, since, until),
            outcomes={role: {result: results[role, result] for result in Return} for role in Role},
            pings=watched.pings,
            heartbeats=watched.needed,
        )

    def _agreements(self, kind: Kind) -> Observed:
        observations = Observations(EPISODES, self.settings.gate.unit)
        for rows in self.reader.agreements(kind, self.since, self.until):
            observations.extend(rows)
        return observations.observed(self.now)

    def _sample(self, kind: Kind, agreed: Observed) -> Sample:
        # Losses are known after the return window only: later returns must not count before them.
        window: Duration = self.settings.comparison.return_window
        until = min(self.until, self.now - window)
        returns: dict[Role, Shares] = {}
        proofs: dict[Role, Shares] = {}
        for role in Role:
            settled = self.reader.settled(kind, role, self.since, until)
            returns[role] = self._observe(
                [
                    (user, at, result == Return.RETURNED)
                    for user, at, result, _ in settled
                    if result in (Return.RETURNED, Return.LOST)
                ]
            )
            proofs[role] = self._observe([(user, at, proof) for user, at, _, proof in settled])
        return Sample(agreed.shares, returns, proofs)

    def _observe(self, rows: Sequence[tuple[str, Time, bool]]) -> Shares:
        observations = Observations()
        observations.extend(rows)
        return observations.observed(self.now).shares
