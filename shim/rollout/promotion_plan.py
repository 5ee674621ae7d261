"""The next step of the plan of promotion, and whether it is permitted now. Pure.

The file is at a step when it has reached all thresholds of that step and not all thresholds of the next
step. The step may be left when the file's trial has been watched for the step's soak, the trial shows what
the step requires, nothing speaks against the candidate, and neither brake nor kill switch is in the way.
The step to `complete` needs the gate's `ready` (R16: docs/design.md#r16).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shim.flags.deciding import reached_step
from shim.flags.targeting import Percentages, Targeting
from shim.gate.answer import Standing
from shim.model import Duration, Time
from shim.settings.durations import format_duration
from shim.settings.promotion_settings import StepSettings


@dataclass(frozen=True, slots=True)
class Check:
    """How one condition stands, of the gate or of the next step; `OPEN`: it may hold later."""

    name: str
    standing: Standing
    words: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the trial that the file in force is about (R16).

    Attributes:
        now: microseconds since 1970.
        watched: for how long some process has watched in this trial; None: no shim has taken up the file.
        brake: why the brake is engaged; None: it is released.
        findings: the gate's conditions by name, on the evidence since the file came into force.
        ready: whether the gate says `ready`, of this trial or of an earlier one that stands.
    """

    now: Time
    watched: Duration | None
    brake: str | None
    findings: Mapping[str, Check]
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """The present step of the file and the next step.

    `step` is the index of the step it is at (None: before the first), `percent` the next one's widths
    (None: there is no next step).
    """

    step: int | None
    steps: int
    percent: Percentages | None
    checks: tuple[Check, ...]

    @property
    def standing(self) -> Standing:
        """Whether the next step may be taken: the worst of its checks."""
        standings = {check.standing for check in self.checks}
        return next((s for s in (Standing.FAILED, Standing.OPEN) if s in standings), Standing.MET)


def propose(targeting: Targeting, steps: Sequence[StepSettings], facts: Facts) -> Proposal:
    """The next step of the plan for this file."""
    current = position(targeting.percent, steps)
    following = 0 if current is None else current + 1
    if following == len(steps):
        return Proposal(current, len(steps), None, ())
    target = steps[following].percent
    checks = [_in_plan(targeting.percent, target), _kill_switch(targeting), _brake(facts)]
    if current is not None:
        checks += [_soak(steps[current].soak, facts), _nothing_refuted(facts)]
        checks += [_requirement(name, facts) for name in steps[current].require]
    if target.complete > targeting.percent.complete:
        checks.append(_ready(facts))
    return Proposal(current, len(steps), target, tuple(checks))


def position(percent: Percentages, steps: Sequence[StepSettings]) -> int | None:
    """The index of the last step whose thresholds the widths have all reached."""
    return reached_step(percent, [step.percent for step in steps])


def _in_plan(percent: Percentages, target: Percentages) -> Check:
    if reached_step(target, [percent]) is not None:
        return Check("order", Standing.MET, "the next step moves nobody back")
    words = "the file is ahead of the plan: the next step would move users back"
    return Check("order", Standing.FAILED, words)


def _kill_switch(targeting: Targeting) -> Check:
    if targeting.kill_switch:
        return Check("kill_switch", Standing.FAILED, "the kill switch is on")
    return Check("kill_switch", Standing.MET, "the kill switch is off")


def _brake(facts: Facts) -> Check:
    if facts.brake is not None:
        return Check("brake", Standing.FAILED, f"the brake is engaged: {facts.brake}")
    return Check("brake", Standing.MET, "the brake is released")


def _soak(soak: Duration, facts: Facts) -> Check:
    wanted = format_duration(soak)
    watched = facts.watched
    if watched is None:
        words = f"no shim has taken up this very file yet; it must be watched for {wanted}"
        return Check("soak", Standing.OPEN, words)
    if watched >= soak:
        return Check("soak", Standing.MET, f"watched for {_format_roughly(watched)} of {wanted}")
    left = _format_roughly(soak - watched)
    return Check(
        "soak", Standing.OPEN, f"watched for {_format_roughly(watched)} of {wanted}, {left} to go"
    )


def _nothing_refuted(facts: Facts) -> Check:
    """Nothing speaks against the candidate, required or not, and no stretch of days does."""
    refuted = [
        finding.words for finding in facts.findings.values() if finding.standing is Standing.FAILED
    ]
    if refuted:
        return Check("evidence", Standing.FAILED, "; ".join(refuted))
    return Check("evidence", Standing.MET, "nothing speaks against the candidate")


def _ready(facts: Facts) -> Check:
    """The step to `complete` takes the control's users away: it needs the gate's `ready`."""
    if facts.ready:
        return Check("ready", Standing.MET, "the gate says ready")
    return Check("ready", Standing.OPEN, "the gate has to say ready before anybody is at complete")


def _requirement(name: str, facts: Facts) -> Check:
    unknown = Check(name, Standing.OPEN, "there is no evidence about it yet")
    return facts.findings.get(name, unknown)


def _format_roughly(duration: Duration) -> str:
    """Format a duration for people, in its two largest units: `1d 3h`."""
    seconds = duration // 1_000_000
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, length)
        if number:
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2]) or "0s"
