"""Who is told what the router found out; each method does nothing unless overridden."""

from shim.model import (
    Connection,
    Decision,
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

    def note(self, role: Role, text: str) -> None:
        """A line that a monitor wants in the log."""
