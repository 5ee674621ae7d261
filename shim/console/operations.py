"""What the console is given to look at and to change."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shim.aio import Shim
from shim.flags import Cap, Evaluation
from shim.gate import GateAnswer
from shim.ledger import LedgerReader, Status
from shim.model import Role, Stage, Time
from shim.runtime.tally import Tally


class Flags(Protocol):
    """The flags file in force (`shim.rollout.CurrentFlags`)."""

    @property
    def digest(self) -> str: ...
    @property
    def loaded_at(self) -> Time: ...
    @property
    def problem(self) -> str | None:
        """Why the file as it is now was refused (R20); None: it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """A running shim.

    `evaluate` gives a user's stage, whatever the brake says. `gate` judges what a ledger has, and `flush`
    waits so many seconds for it to have all; both are called in a thread. `metrics` answers content type
    and body for an `Accept` header. None: there is no such thing.
    """

    shim: Shim
    tally: Tally
    evaluate: Callable[[str], Evaluation]
    flags: Flags | None = None
    ledger: LedgerReader | None = None
    ledger_status: Callable[[], Status] | None = None
    flush: Callable[[float], bool] | None = None
    gate: Callable[[LedgerReader], GateAnswer] | None = None
    metrics: Callable[[str], tuple[str, bytes]] | None = None

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: it is not."""
        return self.shim.router.brake_reason

    @property
    def held(self) -> int | None:
        """How many closes the guard holds; None: it is calm."""
        guard = self.shim.router.guard
        return None if guard is None or not guard.holding else len(guard)

    @property
    def quarantined(self) -> bool:
        """Whether the candidate has failed too often (R5)."""
        lane = self.shim.router.lane(Role.CANDIDATE)
        return lane is not None and lane.quarantined

    def explain(self, user: str) -> Evaluation:
        """Which stage a user has now, the brake considered (R19)."""
        evaluation = self.evaluate(user)
        if self.brake_reason is None or evaluation.stage <= Stage.SHADOW:
            return evaluation
        return evaluation._replace(stage=Stage.SHADOW, lowered_by=Cap.BRAKE)

    def trace_url(self, trace: str | None) -> str | None:
        """Where a trace is seen, as the settings say."""
        template = self.shim.settings.telemetry.trace_url
        if template is None or trace is None:
            return None
        return template.replace("{trace_id}", trace)
