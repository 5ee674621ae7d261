"""How many users and days it takes until the gate can answer.

A pilot fleet is simulated. Then the gate itself is asked what it would answer with a multiple of these
users. So the plan contains every target of the settings and every rate of the file.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from shim.gate.answer import GateAnswer, GateVerdict, Standing
from shim.gate.evidence import ByArm, Evidence, KindEvidence
from shim.gate.judge import judge
from shim.gate.kind_gate import GateTargets, grown_both
from shim.model import MonitorType
from shim.model.time import DAY
from shim.settings.monitors import Surroundings
from shim.simulate.scenario import Scenario
from shim.simulate.simulation_run import SimulationRun

PILOT_USERS = 1000
_FLEETS = (300, 1_500, 8_000, 100_000)
"""Sizes of which the plan always speaks."""

_STEP = 1.05
_MOST_USERS = 10_000_000
_FEWEST = 50
_MOMENT = 0.25
"""Days after the end of a day: by then each return window has ended, and the rows are known."""

_BLIPS_AND_LOSSES = {"table": {"20s": 0.5, "75s": 0.3, "2m": 0.2}}
_TYPICAL = {
    "users": PILOT_USERS,
    "days": 7.0,
    "clients": {
        "glasses": {
            "kind": "glasses",
            "freezes": {"per_day": 0.5, "duration": _BLIPS_AND_LOSSES},
            "drops": {"per_day": 0.5, "duration": {"table": {"10s": 0.3, "90s": 0.7}}},
        },
        "app": {"freezes": {"per_day": 1.0, "duration": _BLIPS_AND_LOSSES}},
    },
}


@dataclass(frozen=True, slots=True)
class PlanStep:
    """After `days` days: the fewest users with whom the gate answers (None: it never answers).

    `reason` names the conditions that are the last to be decided.
    """

    days: float
    users: int | None
    verdict: GateVerdict
    reason: str


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What the gate answers about a fleet of this size, and after how many days; None: it cannot answer.

    `agreement`: what is certain by then, or at the end of the plan (R16).
    """

    users: int
    days: float | None
    verdict: GateVerdict
    agreement: float


@dataclass(frozen=True, slots=True)
class Plan:
    """`timeouts_per_user_day` counts those that compare the monitors (R14)."""

    pilot_users: int
    timeouts_per_user_day: float
    steps: tuple[PlanStep, ...]
    fleets: tuple[FleetPlan, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def typical(types: Mapping[str, MonitorType]) -> Scenario:
    """A fleet for those who have not described theirs: about one timeout per user and day, on which the
    monitors agree, and clients that come back after any close code."""
    return Scenario.model_validate(_TYPICAL, context=Surroundings(types))


def make_plan(scenario: Scenario) -> Plan:
    """Simulate a pilot of the scenario's fleet for a trial, and grow it.

    The gate is asked at the end of the trial's first period, and of each day of the week after.
    """
    gate = scenario.settings.gate
    users = min(scenario.users, PILOT_USERS)
    first = gate.period / DAY
    due = [first + extra for extra in (0, 1, 3, 7)]
    pilot = scenario.model_copy(update={"users": users, "days": due[-1] + _MOMENT, "brake": False})
    known: dict[float, Evidence] = {}
    with SimulationRun(pilot) as run:
        for now in run.hours():
            if due and now >= (due[0] + _MOMENT) * DAY:
                known[due.pop(0)] = run.evidence()
        timeouts = sum(kind.timeouts for kind in run.evidence().kinds)
    steps = [_step(evidence, gate, users, days) for days, evidence in known.items()]
    fleets = [_fleet(known, gate, users, size) for size in sorted({*_FLEETS, scenario.users})]
    return Plan(users, timeouts / users / pilot.days, tuple(steps), tuple(fleets))


def _fleet(
    known: Mapping[float, Evidence], targets: GateTargets, pilot: int, users: int
) -> FleetPlan:
    answered: float | None = None
    for days, evidence in known.items():
        answer = judge(_grown(evidence, users / pilot), targets)
        if answer.verdict is not GateVerdict.INSUFFICIENT:
            answered = days
            break
    bounds = [one.bound or 0.0 for one in answer.conditions if one.name == "agreement"]
    return FleetPlan(users, answered, answer.verdict, min(bounds, default=0.0))


def _step(evidence: Evidence, targets: GateTargets, pilot: int, days: float) -> PlanStep:
    answer: GateAnswer | None = None
    users = float(_FEWEST)
    while users <= _MOST_USERS:
        before, answer = answer, judge(_grown(evidence, users / pilot), targets)
        if answer.verdict is not GateVerdict.INSUFFICIENT:
            last = answer if before is None else before
            return PlanStep(days, ceil(users), answer.verdict, _reason(last, answer))
        users *= _STEP
    assert answer is not None
    return PlanStep(days, None, answer.verdict, _reason(answer, answer))


def _reason(before: GateAnswer, answer: GateAnswer) -> str:
    """The failed conditions, or else the conditions that were open with fewer users."""
    failed = [one for one in answer.conditions if one.standing is Standing.FAILED]
    conditions = failed or [one for one in before.conditions if one.standing is Standing.OPEN]
    names = {one.title + (f" ({one.kind.value})" if one.kind else ""): None for one in conditions}
    return "; ".join(names) or "nothing"


def _grown(evidence: Evidence, factor: float) -> Evidence:
    kinds = tuple(_grown_kind(kind, factor) for kind in evidence.kinds)
    return replace(evidence, kinds=kinds)


def _grown_kind(kind: KindEvidence, factor: float) -> KindEvidence:
    def times(count: int) -> int:
        return round(count * factor)

    def grow(groups: Mapping[str, ByArm]) -> dict[str, ByArm]:
        return {
            name: {role: grown_both(counted, factor) for role, counted in arms.items()}
            for name, arms in groups.items()
        }

    return replace(
        kind,
        agreement=grown_both(kind.agreement, factor),
        returns=grow(kind.returns),
        proofs=grown_both(kind.proofs, factor),
        stretches=tuple(
            replace(
                stretch,
                agreement=grown_both(stretch.agreement, factor),
                returns=grow(stretch.returns),
            )
            for stretch in kind.stretches
        ),
        matched=times(kind.matched),
        mismatched=times(kind.mismatched),
        expected=times(kind.expected),
        improvements=times(kind.improvements),
        inconclusive=times(kind.inconclusive),
        acting_first=times(kind.acting_first),
        users=times(kind.users),
        unsettled_users=times(kind.unsettled_users),
        later_users=times(kind.later_users),
        acted={role: times(count) for role, count in kind.acted.items()},
        heartbeats=tuple(
            replace(
                beats,
                pings=times(beats.pings),
                needed=None if beats.needed is None else beats.needed * factor,
            )
            for beats in kind.heartbeats
        ),
        # A pilot is too small to say anything about the widths of the arms.
        arms={},
    )
