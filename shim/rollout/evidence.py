"""The gate's evidence of one span of time, read from the ledger (R14 to R16)."""

from collections.abc import Iterator

from shim.gate import EPISODES, Evidence, KindEvidence, Observations, Sample, Shares
from shim.ledger import LedgerReader
from shim.model import Duration, Kind, Return, Role, Time, VerdictName


def evidence_between(
    reader: LedgerReader,
    since: Time,
    now: Time,
    *,
    unit: Duration,
    return_window: Duration,
    expired_rules: tuple[str, ...] = (),
) -> Evidence:
    """What was seen from `since` until `now`, in wall-clock microseconds, as both period and epoch.

    It is the evidence about one state of the flags file, so unlike the gate's it does not ask whether
    both monitors acted. Raises InputError if the ledger cannot be read.
    """
    failures = reader.failures(since, now)
    kinds = reader.kinds(since, now)
    span = _Span(reader, since, now, unit, return_window)
    return Evidence(
        now,
        since,
        now,
        since,
        tuple(span.of(kind) for kind in kinds),
        failures=sum(count for (role, _, _), count in failures.items() if role is Role.CANDIDATE),
        expired_rules=expired_rules,
    )


class _Span:
    """Evidence of the kinds of connection within one span."""

    def __init__(
        self,
        reader: LedgerReader,
        since: Time,
        now: Time,
        unit: Duration,
        return_window: Duration,
    ) -> None:
        self._reader = reader
        self._since = since
        self._now = now
        self._unit = unit
        # Losses are known after the return window only, so later returns must not count either.
        self._settled_until = now - return_window

    def of(self, kind: Kind) -> KindEvidence:
        reader, since, now = self._reader, self._since, self._now
        agreement = Observations(EPISODES, self._unit)
        agreement.extend(reader.agreements(kind, since, now))
        agreed = agreement.observed(now)
        sample = Sample(
            agreed.shares,
            {role: self._returns(kind, role) for role in Role},
            {role: self._proofs(kind, role) for role in Role},
        )
        counts, watched = reader.counts(kind, since, now), reader.watched(kind, since, now)
        results = reader.results(kind, since, now)
        every = {VerdictName(name): 0 for name in VerdictName}
        for (name, _), count in counts.all.items():
            every[name] += count
        conclusive = (VerdictName.MATCHED, VerdictName.MISMATCHED)
        return KindEvidence(
            kind,
            sample,
            sample,
            matched=counts.proving[VerdictName.MATCHED],
            mismatched=counts.proving[VerdictName.MISMATCHED],
            expected=counts.proving[VerdictName.EXPECTED],
            inconclusive=every[VerdictName.INCONCLUSIVE],
            acting_first=sum(every[name] - counts.proving[name] for name in conclusive),
            users=agreed.users,
            unsettled_users=agreed.unsettled,
            days=counts.days,
            acted={
                role: sum(count for (by, _), count in results.items() if by is role)
                for role in Role
            },
            proofs=reader.proofs(kind, since, now),
            outcomes={role: {result: results[role, result] for result in Return} for role in Role},
            pings=watched.pings,
            heartbeats=watched.needed,
        )

    def _returns(self, kind: Kind, role: Role) -> Shares:
        conclusive = (Return.RETURNED, Return.LOST)
        return self._observe(
            (user, at, result is Return.RETURNED)
            for user, at, result, _ in self._settled(kind, role)
            if result in conclusive
        )

    def _proofs(self, kind: Kind, role: Role) -> Shares:
        return self._observe((user, at, proof) for user, at, _, proof in self._settled(kind, role))

    def _settled(self, kind: Kind, role: Role) -> Iterator[tuple[str, Time, Return, bool]]:
        return self._reader.settled(kind, role, self._since, self._settled_until)

    def _observe(self, rows: Iterator[tuple[str, Time, bool]]) -> Shares:
        observations = Observations()
        observations.extend(rows)
        return observations.observed(self._now).shares
