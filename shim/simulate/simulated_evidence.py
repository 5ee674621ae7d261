"""What the gate reads, gathered while the simulation runs: the same counts that a ledger answers."""

from collections import Counter
from collections.abc import Iterable

from shim.gate import EPISODES, Evidence, KindEvidence, Observations, Sample, Shares
from shim.model import (
    SECOND,
    Coverage,
    Kind,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Time,
    Verdict,
    VerdictName,
)
from shim.router import Observer, ProofOfLife, handles
from shim.simulate.scenario import Scenario

_CONCLUSIVE = (VerdictName.MATCHED, VerdictName.MISMATCHED)
_QUARANTINE = "quarantine"
_MINUTE = 60 * SECOND


class _OfKind:
    """The records of one kind of connection, in the order in which they came."""

    def __init__(self) -> None:
        self.verdicts: list[tuple[Time, str, VerdictName, bool]] = []
        self.outcomes: list[Outcome] = []
        self.proofs: list[tuple[Time, Role]] = []
        self.coverage: list[Coverage] = []


class GateEvidence(Observer):
    """Remembers what the gate will ask for; times of the simulation, from its start."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._gate = scenario.settings.gate
        self._return_window = scenario.settings.comparison.return_window
        self._kinds: dict[Kind, _OfKind] = {}
        self._failures: list[MonitorFailure] = []
        # Connections that were alive when a monitor closed them.
        self._alive: set[str] = set()

    def _of(self, kind: Kind) -> _OfKind:
        return self._kinds.setdefault(kind, _OfKind())

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        connection = verdict.connection
        proves = verdict.first is not None and verdict.first is not verdict.acting
        record = (verdict.at, connection.user, verdict.name, proves)
        self._of(connection.kind).verdicts.append(record)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self._of(outcome.connection.kind).outcomes.append(outcome)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self._alive.add(proof.connection.id)
        self._of(proof.connection.kind).proofs.append((proof.at, proof.role))

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        if failure.role is Role.CANDIDATE:
            self._failures.append(failure)

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        self._of(coverage.kind).coverage.append(coverage)

    def evidence(self, now: Time) -> Evidence:
        """Everything until `now`, the whole simulation being one epoch."""
        epoch = self._scenario.epoch
        both = [
            coverage.until
            for kind in self._kinds.values()
            for coverage in kind.coverage
            if coverage.control_acted and coverage.candidate_acted
        ]
        expired = self._expired(now)
        if not both:
            return Evidence(epoch + now, epoch_start=epoch, expired_rules=expired)
        end = max(both)
        start = max(0, end - self._gate.period)
        failed = [failure.call for failure in self._failures if start <= failure.at <= end]
        return Evidence(
            epoch + now,
            epoch + start,
            epoch + end,
            epoch,
            tuple(self._kind(name, start, end, now) for name in sorted(self._kinds)),
            failures=sum(call != _QUARANTINE for call in failed),
            quarantines=failed.count(_QUARANTINE),
            expired_rules=expired,
        )

    def _expired(self, now: Time) -> tuple[str, ...]:
        today = self._scenario.day(now)
        rules = self._scenario.settings.comparison.expected
        return tuple(rule.name for rule in rules if rule.until < today)

    def _kind(self, name: Kind, since: Time, end: Time, now: Time) -> KindEvidence:
        kind = self._kinds[name]
        verdicts = [one for one in kind.verdicts if since <= one[0] <= end]
        proving = Counter(verdict for _, _, verdict, proves in verdicts if proves)
        every = Counter(verdict for _, _, verdict, _ in verdicts)
        observed = self._agreement(kind, since, end).observed(now)
        # A loss is known after the return window only, so later returns must not count either.
        settled = min(end, now - self._return_window - 1)
        outcomes = [one for one in kind.outcomes if since <= one.acted_at <= end]
        acted = Counter(one.role for one in outcomes)
        results = Counter((one.role, one.result) for one in outcomes)
        covered = [one for one in kind.coverage if since <= one.since and one.until <= end]
        interval = covered[-1].heartbeat_interval if covered else None
        sample = Sample(observed.shares, *self._closings(kind, since, settled))
        in_epoch = sample
        if since > 0:
            agreed = self._agreement(kind, 0, end).observed(now)
            in_epoch = Sample(agreed.shares, *self._closings(kind, 0, settled))
        return KindEvidence(
            name,
            sample,
            in_epoch,
            matched=observed.successes,
            mismatched=observed.rows - observed.successes,
            expected=proving[VerdictName.EXPECTED],
            inconclusive=every[VerdictName.INCONCLUSIVE],
            acting_first=sum(every[one] - proving[one] for one in _CONCLUSIVE),
            users=observed.users,
            unsettled_users=observed.unsettled,
            days=observed.days,
            acted=acted,
            proofs=Counter(role for at, role in kind.proofs if since <= at <= end),
            outcomes={role: {one: results[role, one] for one in Return} for role in Role},
            pings=sum(one.pings for one in covered),
            heartbeats=sum(one.watched for one in covered) / interval if interval else None,
        )

    def _agreement(self, kind: _OfKind, since: Time, end: Time) -> Observations:
        observations = Observations(EPISODES, self._gate.unit)
        observations.extend(
            [
                (user, at, verdict is VerdictName.MATCHED)
                for at, user, verdict, proves in kind.verdicts
                if proves and since <= at <= end and verdict in _CONCLUSIVE
            ]
        )
        return observations

    def _closings(
        self, kind: _OfKind, since: Time, end: Time
    ) -> tuple[dict[Role, Shares], dict[Role, Shares]]:
        """What the users' first timeouts acted on led to: returns, and proofs of life."""
        settled = [
            one for one in kind.outcomes if one.by_percentage and since <= one.acted_at <= end
        ]
        settled.sort(key=lambda one: one.acted_at)
        returns: dict[Role, Shares] = {}
        proofs: dict[Role, Shares] = {}
        for role in Role:
            of_role = [one for one in settled if one.role is role]
            proofs[role] = _observed((one, one.connection.id in self._alive) for one in of_role)
            returns[role] = _observed(
                (one, one.result is Return.RETURNED)
                for one in of_role
                if one.result in (Return.RETURNED, Return.LOST)
            )
        return returns, proofs


def _observed(rows: Iterable[tuple[Outcome, bool]]) -> Shares:
    """Each user's first row; all of them are known, so the last minute is over."""
    observations, last = Observations(), 0
    for one, success in rows:
        observations.extend([(one.connection.user, one.acted_at, success)])
        last = one.acted_at
    return observations.observed(last + _MINUTE).shares
