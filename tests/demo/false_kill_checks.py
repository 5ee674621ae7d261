"""What had to happen in the rollout, and whether it did: by the steps, the clients and the ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shim.demo.client_history import LEFT, ClientHistory
from shim.demo.demo_clients import ClientBehaviour
from shim.demo.demo_settings import FACTOR, scaled
from shim.demo.rollout_steps import Step
from shim.demo.step_taker import StepProgress
from shim.ledger.rows import Wall
from shim.model import SECOND, Role, Stage, VerdictKind, VerdictName, seconds
from shim.settings.sections import BrakeSettings
from tests.demo.false_kill_rollout import (
    BAD,
    RELEASE_REASON,
    STEPS,
    TRUNCATED,
    LedgerRecord,
)

_PROMPT = 1 * SECOND
"""How soon after the last false kill that it takes the brake has to engage."""

LIMITS = BrakeSettings.model_validate({"window": scaled(900, FACTOR)})
GRAIN = round(10 * SECOND / FACTOR)
"""The demo's minute, as `shim.demo.demo_settings` has it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the summary: what had to happen, what did, and what speaks against it."""

    wanted: str
    happened: str
    objections: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.objections


@dataclass(frozen=True, slots=True)
class RolloutEvidence:
    """All that is known of the rollout; `pauses` are those of the server (R3)."""

    progress: Sequence[StepProgress]
    record: LedgerRecord
    old: Sequence[ClientHistory]
    newcomers: Sequence[ClientHistory]
    pauses: int

    def began(self, step: Step) -> Wall | None:
        return next((each.began for each in self.progress if each.step is step), None)

    def period(self, step: Step) -> tuple[Wall, Wall] | None:
        """From the beginning of a step to that of the next one."""
        for each, following in zip(self.progress, self.progress[1:], strict=False):
            if each.step is step:
                return each.began, following.began
        return None


def judge(evidence: RolloutEvidence) -> list[Finding]:
    """Every step, and then what is true of all of them."""
    checks: tuple[Callable[[RolloutEvidence], Finding], ...] = (
        _healthy,
        _agreement,
        _refused,
        _brake,
        _recovery,
    )
    return [*_steps(evidence.progress), *(check(evidence) for check in checks)]


def _steps(progress: Sequence[StepProgress]) -> Iterator[Finding]:
    for number, step in enumerate(STEPS):
        wanted = f"{step.title}: {step.goal}"
        if number >= len(progress):
            yield Finding(wanted, "not begun", ("it did not come to that",))
            continue
        each = progress[number]
        if each.took is None:
            yield Finding(wanted, "not reached", ("it took too long",))
        else:
            stages = ", ".join(f"{each.stages[stage]} {stage}" for stage in _present(each))
            yield Finding(wanted, f"after {each.took:.1f} s: {stages}")


def _present(each: StepProgress) -> list[Stage]:
    return [stage for stage in Stage if each.stages[stage]]


def _healthy(evidence: RolloutEvidence) -> Finding:
    """By their own account, and by the server's."""
    left_alone = (ClientBehaviour.HEALTHY, ClientBehaviour.FLAPPING)
    well = [history for history in evidence.old if history.client.behaviour in left_alone]
    healthy = [history for history in well if history.client.behaviour is ClientBehaviour.HEALTHY]
    hurt = [
        history.client.user for history in well if history.decided or set(history.endings) - {LEFT}
    ]
    hurt += [history.client.user for history in healthy if history.opened != 1 or history.endings]
    errors = [f"{s.client.user}: {s.errors[0]}" for s in evidence.old if s.errors]
    objections = tuple([f"not so: {user}" for user in dict.fromkeys(hurt)][:3] + errors[:3])
    kept = sum(history.opened == 1 and not history.endings for history in healthy)
    return Finding(
        "no healthy client loses its connection",
        f"{kept} of {len(healthy)} had one connection throughout",
        objections if healthy else ("there was no healthy client",),
    )


def _agreement(evidence: RolloutEvidence) -> Finding:
    """Before the bad step; a pause of the server may move the candidate's deadlines (R3)."""
    wanted = "the monitors agree until the bad step"
    end = evidence.began(BAD)
    verdicts = [row for row in evidence.record.verdicts if end is None or row.at < end]
    matched = sum(row.verdict is VerdictName.MATCHED for row in verdicts)
    wrong = [
        row
        for row in verdicts
        if row.verdict is VerdictName.MISMATCHED
        and not (evidence.pauses and row.kind in (VerdictKind.SKEWED, VerdictKind.ONLY_CONTROL))
    ]
    objections = [f"{row.user}: {row.kind}" for row in wrong[:3]]
    if not matched:
        objections.append("no verdict")
    return Finding(wanted, f"{matched} matched, {len(wrong)} mismatched", tuple(objections))


def _refused(evidence: RolloutEvidence) -> Finding:
    wanted = "the truncated file changes nothing"
    refused = [row for row in evidence.record.flags if row.problem is not None]
    period = evidence.period(TRUNCATED)
    if period is None:
        return Finding(wanted, "not seen", ("it did not come to that",))
    since, until = period
    moved = sum(since <= row.at < until for row in evidence.record.stages)
    objections = []
    if len(refused) != 1 or not since <= refused[0].at < until:
        objections.append("the ledger does not have exactly this one refused")
    if moved:
        objections.append(f"{moved} connections moved")
    return Finding(wanted, f"{len(refused)} refused, {moved} connections moved", tuple(objections))


def _brake(evidence: RolloutEvidence) -> Finding:
    """It needs what R22 says, not less; after that it may not wait."""
    wanted = "the brake engages at the false kill that R22 requires, no sooner and no later"
    brake, began = evidence.record.engaged, evidence.began(BAD)
    if brake is None or began is None:
        return Finding(wanted, "it did not engage", ("it did not engage",))
    due = evidence.record.brake_due(LIMITS, GRAIN)
    objections = []
    if brake.at < began:
        objections.append("that was before the bad step")
    if due is None or brake.at < due:
        objections.append("the false kills until then do not require it")
    elif brake.at - due > _PROMPT:
        objections.append(f"that was {seconds(brake.at - due):.1f} s after it was required")
    new = {history.client.user for history in evidence.newcomers}
    if others := {user for _, user in evidence.record.false_kills()} - new:
        objections.append(f"others were hit, too: {min(others)}")
    happened = f"{seconds(brake.at - began):.1f} s after the bad step: {brake.reason}"
    return Finding(wanted, happened, tuple(objections))


def _recovery(evidence: RolloutEvidence) -> Finding:
    wanted = "after the release nobody alive is closed"
    record = evidence.record
    released = record.released
    if released is None or released.reason != RELEASE_REASON:
        return Finding(wanted, "not released", ("the ledger has no such release",))
    proofs = sum(row.at > released.at for row in record.proofs)
    closed = sum(
        row.acted_at > released.at and row.role is Role.CANDIDATE for row in record.actions
    )
    objections = []
    if proofs:
        objections.append(f"{proofs} proofs of life")
    if not closed:
        objections.append("the candidate closed nobody, so that nothing is shown")
    if sum(row.engaged for row in record.brakes) != 1:
        objections.append("the brake engaged more than once")
    return Finding(wanted, f"{closed} closed by the candidate, {proofs} alive", tuple(objections))
