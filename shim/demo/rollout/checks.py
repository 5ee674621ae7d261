"""What had to happen in the rollout, and whether it did: by the steps, the clients and the ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shim.demo.rollout.play import Mark, Step
from shim.demo.rollout.record import Record
from shim.demo.rollout.scenario import FALSE_KILLS
from shim.demo.rollout.steps import BAD, RELEASE_REASON, STEPS, TRUNCATED
from shim.demo.scenario import Behaviour
from shim.demo.story import LEFT, Story
from shim.ledger.rows import Wall
from shim.model import SECOND, Role, Stage, VerdictKind, VerdictName, seconds

_PROMPT = 1 * SECOND
"""How soon after the last false kill that it takes the brake has to engage."""


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
class Evidence:
    """All that is known of the rollout; `pauses` are those of the server (R3)."""

    marks: Sequence[Mark]
    record: Record
    fleet: Sequence[Story]
    newcomers: Sequence[Story]
    pauses: int

    def began(self, step: Step) -> Wall | None:
        return next((mark.at for mark in self.marks if mark.step is step), None)

    def period(self, step: Step) -> tuple[Wall, Wall] | None:
        """From the beginning of a step to that of the next one."""
        for mark, following in zip(self.marks, self.marks[1:], strict=False):
            if mark.step is step:
                return mark.at, following.at
        return None


def judge(evidence: Evidence) -> list[Finding]:
    """Every step, and then what is true of all of them."""
    checks: tuple[Callable[[Evidence], Finding], ...] = (
        _healthy,
        _agreement,
        _refused,
        _brake,
        _recovery,
    )
    return [*_steps(evidence.marks), *(check(evidence) for check in checks)]


def _steps(marks: Sequence[Mark]) -> Iterator[Finding]:
    for number, step in enumerate(STEPS):
        wanted = f"{step.title}: {step.goal}"
        if number >= len(marks):
            yield Finding(wanted, "not begun", ("it did not come to that",))
            continue
        mark = marks[number]
        if mark.took is None:
            yield Finding(wanted, "not reached", ("it took too long",))
        else:
            stages = ", ".join(f"{mark.stages[stage]} {stage}" for stage in _present(mark))
            yield Finding(wanted, f"after {mark.took:.1f} s: {stages}")


def _present(mark: Mark) -> list[Stage]:
    return [stage for stage in Stage if mark.stages[stage]]


def _healthy(evidence: Evidence) -> Finding:
    """By their own account, and by the server's."""
    left_alone = (Behaviour.HEALTHY, Behaviour.FLAPPING)
    well = [story for story in evidence.fleet if story.client.behaviour in left_alone]
    healthy = [story for story in well if story.client.behaviour is Behaviour.HEALTHY]
    hurt = [story.client.user for story in well if story.decided or set(story.endings) - {LEFT}]
    hurt += [story.client.user for story in healthy if story.opened != 1 or story.endings]
    errors = [f"{s.client.user}: {s.errors[0]}" for s in evidence.fleet if s.errors]
    objections = tuple([f"not so: {user}" for user in dict.fromkeys(hurt)][:3] + errors[:3])
    kept = sum(story.opened == 1 and not story.endings for story in healthy)
    return Finding(
        "no healthy client loses its connection",
        f"{kept} of {len(healthy)} had one connection throughout",
        objections if healthy else ("there was no healthy client",),
    )


def _agreement(evidence: Evidence) -> Finding:
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


def _refused(evidence: Evidence) -> Finding:
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


def _brake(evidence: Evidence) -> Finding:
    """It needs so many false kills, not fewer; after them it may not wait."""
    wanted = f"the brake engages at {FALSE_KILLS} false kills, no sooner and no later"
    brake, began = evidence.record.engaged, evidence.began(BAD)
    if brake is None or began is None:
        return Finding(wanted, "it did not engage", ("it did not engage",))
    kills = [at for at, _ in evidence.record.false_kills() if at <= brake.at]
    objections = []
    if brake.at < began:
        objections.append("that was before the bad step")
    if len(kills) < FALSE_KILLS:
        objections.append(f"there had been {len(kills)} only")
    elif brake.at - kills[FALSE_KILLS - 1] > _PROMPT:
        late = seconds(brake.at - kills[FALSE_KILLS - 1])
        objections.append(f"that was {late:.1f} s after they had been found")
    new = {story.client.user for story in evidence.newcomers}
    if others := {user for _, user in evidence.record.false_kills()} - new:
        objections.append(f"others were hit, too: {min(others)}")
    happened = f"{seconds(brake.at - began):.1f} s after the bad step: {brake.reason}"
    return Finding(wanted, happened, tuple(objections))


def _recovery(evidence: Evidence) -> Finding:
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
