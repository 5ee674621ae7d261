"""The result of a replay: the counts, the outcomes and the verdicts, in the form of the contract."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from shim.model import (
    LateDecision,
    MonitorFailure,
    Outcome,
    Return,
    Role,
    Verdict,
    VerdictName,
    seconds,
)
from shim.model.time import seconds_or_none
from shim.router import Decided, Observer, ProofOfLife, handles


@dataclass
class ReplayResult(Observer):
    """Collects what the router finds out; `decided`: the connections on which a monitor ever decided."""

    connections: int = 0
    healthy: int = 0
    late_decisions: int = 0
    after_close: int = 0
    spoke_after_close: int = 0
    decided: set[str] = field(default_factory=set)
    verdicts: list[Verdict] = field(default_factory=list)
    outcomes: dict[Role, Counter[Return]] = field(
        default_factory=lambda: {role: Counter() for role in Role}
    )
    failures: list[MonitorFailure] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        self.decided.add(decided.connection.id)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        if verdict.rule is not None:
            self.rules[verdict.rule] += 1

    @handles(LateDecision)
    def _late(self, late: LateDecision) -> None:
        self.late_decisions += 1

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes[outcome.role][outcome.result] += 1

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        self.spoke_after_close += 1

    @handles(MonitorFailure)
    def _failure(self, failure: MonitorFailure) -> None:
        self.failures.append(failure)

    def rows(self) -> list[Verdict]:
        """The verdicts by time, then by the order of opening."""
        return sorted(self.verdicts, key=lambda verdict: (verdict.at, verdict.order))

    def summary(self) -> dict[str, int]:
        names = Counter(verdict.name for verdict in self.verdicts)
        return {
            "connections": self.connections,
            "healthy": self.healthy,
            **{name.value: names[name] for name in VerdictName},
            "late": self.late_decisions,
            "after_close": self.after_close,
            "proof_of_life": self.spoke_after_close,
        }

    def as_dict(self) -> dict[str, Any]:
        """The output of `shim replay --json`; times in seconds."""
        return {
            "summary": self.summary(),
            "outcomes": {
                role.value: {"acted": counts.total(), **{r.value: counts[r] for r in Return}}
                for role, counts in self.outcomes.items()
            },
            "verdicts": [verdict_row(verdict) for verdict in self.rows()],
        }


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """A verdict in the output of `shim replay --json`; times in seconds."""
    return {
        "connection": verdict.connection.id,
        "verdict": verdict.name.value,
        "kind": verdict.kind.value,
        "at": seconds(verdict.at),
        "first": None if verdict.first is None else verdict.first.value,
        "control_at": seconds_or_none(verdict.control_at),
        "candidate_at": seconds_or_none(verdict.candidate_at),
        "skew": seconds_or_none(verdict.skew),
        "recovered": verdict.recovered,
        "last_activity": seconds(verdict.last_activity),
    }
