"""The brake that engages by itself when the record of the candidate requires it (R22: docs/design.md#r22).

Rules: docs/design.md#r15.
"""

from collections.abc import Callable, Hashable
from typing import Protocol

from shim.gate.brake_judge import BrakeJudge
from shim.gate.brake_statistics import BrakeLimits, BrakeRecord
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.model import (
    Coverage,
    FlagsLoad,
    Outcome,
    Return,
    Role,
    Time,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import BrakeChanged, Decided, Observer, ProofOfLife, handles

_THIS_PROCESS = 0
"""Stands for the run of this process: a brake looks at the rows of one process and its predecessors."""


class EngageBrake(Protocol):
    """Take everyone back, for this reason; `by_itself`: no person asked for it."""

    def __call__(self, reason: str, *, by_itself: bool) -> None: ...


class AutomaticBrake(Observer):
    """Watches the events, and calls `engage` with the evidence.

    The brake does not release itself: that is a person's decision, and from then on only new evidence
    counts. Once engaged, calling again changes nothing. `times` has the begin of the trial; `to_wall`
    makes wall-clock times of the router's, since days are those of UTC.
    """

    def __init__(
        self,
        limits: BrakeLimits,
        times: QuestionTimes,
        engage: EngageBrake,
        to_wall: Callable[[Time], Time],
    ) -> None:
        self._judge = BrakeJudge(limits, times)
        self._engage = engage
        self._to_wall = to_wall
        self._deciding: str | None = None

    def resume(self, record: BrakeRecord) -> None:
        """Go on where the process before this one ended."""
        self._judge.resume(record)

    @handles(BrakeChanged)
    def _brake(self, brake: BrakeChanged) -> None:
        if not brake.engaged:
            released = self._to_wall(brake.at)
            self._judge.begin_kills(released)
            self._judge.begin_returns(released)

    @handles(FlagsLoad)
    def _flags_loaded(self, load: FlagsLoad) -> None:
        """Another population begins another trial, in which the arms are compared anew."""
        if load.problem is None and load.deciding != self._deciding:
            if self._deciding is not None:
                self._judge.begin_returns(self._to_wall(load.at))
            self._deciding = load.deciding

    @handles(Decided)
    def _decided(self, decided: Decided) -> None:
        if decided.role is Role.CANDIDATE and decided.counted:
            self._judge.decided(decided.connection.user, self._to_wall(decided.decision.at))

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        if (
            verdict.name is VerdictName.MISMATCHED
            and verdict.kind is VerdictKind.ONLY_CANDIDATE
            and verdict.recovered
            and verdict.placement.counted
        ):
            self._killed(verdict.connection.user, verdict.at, None)

    @handles(ProofOfLife)
    def _proof_of_life(self, proof: ProofOfLife) -> None:
        if proof.role is Role.CANDIDATE and proof.counted:
            event = proof.guard_event
            self._killed(
                proof.connection.user, proof.at, None if event is None else (_THIS_PROCESS, event)
            )

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        """Returns wait until their window is over, so that they do not count before losses (R15)."""
        group = outcome.placement.group
        if group is None or outcome.result not in (Return.RETURNED, Return.LOST):
            return
        if self._to_wall(outcome.acted_at) < self._judge.trial_since:
            return  # another trial's
        connection, returned = outcome.connection, outcome.result is Return.RETURNED
        arm = Arm(group, outcome.role)
        row = ObservedRow(
            user=connection.user,
            at=self._to_wall(outcome.window_ends),
            success=returned,
            arm=arm,
            run=_THIS_PROCESS,
        )
        self._judge.settled(connection.kind, row)

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        """A minute is over: ask."""
        now = self._to_wall(coverage.until)
        users = coverage.control_users + coverage.candidate_users
        since = self._to_wall(coverage.since)
        self._judge.covered(coverage.kind, _THIS_PROCESS, since, now, users)
        if reason := self._judge.fewer_returns(now):
            self._engage(str(reason), by_itself=True)

    def _killed(self, user: str, at: Time, event: Hashable) -> None:
        if reason := self._judge.killed(user, self._to_wall(at), event):
            self._engage(str(reason), by_itself=True)
