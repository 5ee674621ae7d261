"""Who is told what the router found out; each method does nothing unless overridden."""

from shim.flags import Evaluation
from shim.model import (
    Closing,
    Connection,
    Coverage,
    Decision,
    FlagsLoad,
    LateDecision,
    MonitorFailure,
    Outcome,
    Role,
    Stage,
    Time,
    Verdict,
)


class Observer:
    """The rare events, as they happen. An observer that raises is the caller's own fault."""

    def opened(
        self,
        connection: Connection,
        evaluation: Evaluation,
        stage: Stage,
        acting: Role | None,
        now: Time,
    ) -> None:
        """A connection was registered; `stage` is what the shim made of the evaluation."""

    def closed(self, closing: Closing) -> None:
        """A socket has ended, whatever the cause."""

    def decided(
        self, connection: Connection, role: Role, decision: Decision, acted: bool
    ) -> None: ...

    def verdict(self, verdict: Verdict) -> None: ...

    def late(self, late: LateDecision) -> None: ...

    def outcome(self, outcome: Outcome) -> None: ...

    def proof_of_life(self, connection: Connection, role: Role, now: Time) -> None:
        """The peer spoke after `role` had closed its connection (R14b); once a connection."""

    def failure(self, failure: MonitorFailure) -> None: ...

    def stage_changed(
        self, connection: Connection, before: Stage, after: Stage, now: Time
    ) -> None: ...

    def brake(self, engaged: bool, reason: str, now: Time) -> None: ...

    def guard(self, holding: bool, acting_for: int, now: Time) -> None:
        """The guard began to hold closes of the candidate, which acts for so many, or is calm (R6b)."""

    def flags_loaded(self, load: FlagsLoad) -> None: ...

    def coverage(self, coverage: Coverage) -> None:
        """What was watched since the last time; told once a minute, and at the end."""

    def paused(self, start: Time, end: Time) -> None:
        """The process did not run (R3)."""

    def note(self, role: Role, text: str) -> None:
        """A line that a monitor wants in the log."""
