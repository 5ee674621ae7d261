"""The brake that engages by itself when the record of the candidate requires it (R22: docs/design.md#r22)."""

from collections.abc import Callable

from shim.gate.brake_statistics import BrakeLimits, FalseKillWatch, ReturnWatch
from shim.model import Coverage, Duration, Outcome, Role, Time, Verdict, VerdictKind, VerdictName
from shim.router import BrakeChanged, Decided, Observer, ProofOfLife, handles


class AutomaticBrake(Observer):
    """Watches the events, and calls `engage` with the evidence.

    It does not release the brake: that is a person's decision, and from then on only new evidence
    counts. Once engaged, calling again changes nothing.
    """

    def __init__(
        self,
        limits: BrakeLimits,
        return_window: Duration,
        engage: Callable[[str], None],
        now: Time,
    ) -> None:
        self._limits = limits
        self._return_window = return_window
        self._engage = engage
        self._begin(now)

    def _begin(self, now: Time) -> None:
        self._kills = FalseKillWatch(self._limits)
        self._returns = ReturnWatch(self._return_window, now)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if not brake.engaged:
            self._begin(brake.at)

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.role is Role.CANDIDATE:
            self._kills.decided(decided.decision.at)

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        if (
            verdict.name is VerdictName.MISMATCHED
            and verdict.kind is VerdictKind.ONLY_CANDIDATE
            and verdict.recovered
        ):
            self._killed(verdict.at)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        if proof.role is Role.CANDIDATE:
            self._killed(proof.at)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        if reason := self._returns.settled(outcome, outcome.at):
            self._engage(str(reason))

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        """A minute later returns may count that waited for their window to end."""
        if reason := self._returns.reason(coverage.until):
            self._engage(str(reason))

    def _killed(self, now: Time) -> None:
        if reason := self._kills.killed(now):
            self._engage(str(reason))
