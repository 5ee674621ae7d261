"""The tally: plain counts of everything, for the report."""

from collections import Counter
from typing import Any

from shim.ledger.report_figures import ReportFigures
from shim.model import (
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import Decided, Observer, ProofOfLife, handles


class Tally(Observer):
    """Plain counts of everything, for the report."""

    def __init__(self) -> None:
        self.decisions: Counter[tuple[Role, bool]] = Counter()
        self.verdicts: Counter[VerdictName] = Counter()
        self.kinds: Counter[VerdictKind] = Counter()
        self.informative: Counter[VerdictName] = Counter()
        self.outcomes: Counter[tuple[Role, Return | None]] = Counter()
        self.proofs_of_life: Counter[Role] = Counter()
        self.failures: Counter[Role] = Counter()
        self.improvements = 0
        self.late_decisions = 0

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self.decisions[decided.role, decided.acted] += 1

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.verdicts[verdict.name] += 1
        self.kinds[verdict.kind] += 1
        if verdict.is_improvement:
            self.improvements += 1
        elif verdict.first is not None and verdict.first is not verdict.acting:
            self.informative[verdict.name] += 1

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self.late_decisions += 1

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes[outcome.role, outcome.result] += 1

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self.proofs_of_life[proof.role] += 1

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self.failures[failure.role] += 1

    def as_dict(self) -> dict[str, Any]:
        """`ReportFigures` as JSON."""
        figures = ReportFigures.of(
            decisions=self.decisions,
            verdicts=self.verdicts,
            kinds=self.kinds,
            proving=self.informative,
            improvements=self.improvements,
            late=self.late_decisions,
            outcomes=self.outcomes,
            proofs_of_life=self.proofs_of_life,
            failures=self.failures,
        )
        return figures.as_dict()
