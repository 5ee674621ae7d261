"""The brake that engages by itself, when the record of the candidate asks for it (R22)."""

from collections.abc import Callable

from shim.gate.brake_statistics import BrakeLimits, FalseKillWatch, ReturnWatch
from shim.model import (
    Connection,
    Coverage,
    Decision,
    Duration,
    Outcome,
    Role,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import Observer


class AutomaticBrake(Observer):
    """Watches what the router finds out, and calls `engage` with the evidence.

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

    def brake(self, engaged: bool, reason: str, now: Time) -> None:
        if not engaged:
            self._begin(now)

    def decided(self, connection: Connection, role: Role, decision: Decision, acted: bool) -> None:
        if role is Role.CANDIDATE:
            self._kills.decided(decision.at)

    def verdict(self, verdict: Verdict) -> None:
        if (
            verdict.name is VerdictName.MISMATCHED
            and verdict.kind is VerdictKind.ONLY_CANDIDATE
            and verdict.recovered
        ):
            self._killed(verdict.at)

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        if role is Role.CANDIDATE:
            self._killed(now)

    def outcome(self, outcome: Outcome) -> None:
        if reason := self._returns.settled(outcome, outcome.at):
            self._engage(str(reason))

    def coverage(self, coverage: Coverage) -> None:
        """A minute later returns may count that waited for their window to end."""
        if reason := self._returns.reason(coverage.until):
            self._engage(str(reason))

    def _killed(self, now: Time) -> None:
        if reason := self._kills.killed(now):
            self._engage(str(reason))
