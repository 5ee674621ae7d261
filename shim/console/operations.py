"""What the console looks at and changes: a running shim.

Rules: docs/design.md#r5, docs/design.md#r19.
"""

from dataclasses import dataclass
from typing import Any

from shim.flags import Cap, Evaluation
from shim.model import Role, Stage
from shim.runtime.assembly import Assembly
from shim.runtime.coordinator import Coordinator


@dataclass(frozen=True, slots=True)
class Operations:
    """A running shim, whatever its WebSocket library."""

    shim: Coordinator[Any]
    assembly: Assembly

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: the brake is released."""
        return self.shim.router.brake_reason

    @property
    def held(self) -> int | None:
        """How many closes the guard holds; None: the guard is calm."""
        guard = self.shim.router.guard
        return None if guard is None or not guard.holding else len(guard)

    @property
    def quarantined(self) -> bool:
        """Whether the candidate has failed too often (R5)."""
        candidate = self.shim.router.monitors(Role.CANDIDATE)
        return candidate is not None and candidate.quarantined

    def explain(self, user: str) -> Evaluation:
        """The stage of a user now, with the brake (R19)."""
        evaluation = self.assembly.evaluate(user)
        if self.brake_reason is None or evaluation.stage <= Stage.SHADOW:
            return evaluation
        return evaluation._replace(stage=Stage.SHADOW, lowered_by=Cap.BRAKE)

    def trace_url(self, trace: str | None) -> str | None:
        """The address of a trace, by the settings."""
        template = self.shim.settings.telemetry.trace_url
        if template is None or trace is None:
            return None
        return template.replace("{trace_id}", trace)
