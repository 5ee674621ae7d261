"""The plan: what comes next, and what stands against it."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.flags.diff import compare
from shim.flags.targeting import Percentages, Targeting
from shim.gate.answer import Standing
from shim.rollout.promotion_plan import Check, Facts, position, propose
from shim.settings.promotion_settings import Requirement, StepSettings
from tests.flags.strategies import percentages

HOUR = 3_600_000_000
NOW = 1_000 * HOUR


def step(
    percent: Percentages, soak: int = HOUR, require: tuple[str, ...] = ("agreement",)
) -> StepSettings:
    names = tuple(map(Requirement, require))
    return StepSettings.model_construct(percent=percent, soak=soak, require=names)


STEPS = [
    step(Percentages(shadow=10), 2 * HOUR),
    step(Percentages(live=1, shadow=49), 24 * HOUR, ("agreement", "returns")),
    step(Percentages(complete=100)),
]
GOOD = Facts(
    NOW,
    watched=30 * HOUR,
    brake=None,
    findings={name: Check(name, Standing.MET, "fine") for name in ("agreement", "returns")},
    ready=True,
)


def at(percent: Percentages) -> Targeting:
    return Targeting("f", "s", percent=percent)


@pytest.mark.parametrize(
    ("percent", "step", "following"),
    [
        (Percentages(), None, 0),
        (Percentages(shadow=9), None, 0),
        (Percentages(shadow=10), 0, 1),
        (Percentages(shadow=49), 0, 1),
        (Percentages(live=1, shadow=49), 1, 2),
        (Percentages(live=40, shadow=60), 1, 2),
        (Percentages(complete=100), 2, None),
    ],
)
def test_where_a_file_is(percent: Percentages, step: int | None, following: int | None) -> None:
    proposal = propose(at(percent), STEPS, GOOD)
    assert (proposal.step, proposal.steps) == (step, 3)
    assert proposal.percent == (None if following is None else STEPS[following].percent)
    assert proposal.standing is Standing.MET


def checks(rollout: Targeting, facts: Facts) -> dict[str, tuple[Standing, str]]:
    proposal = propose(rollout, STEPS, facts)
    return {check.name: (check.standing, check.words) for check in proposal.checks}


def test_the_first_step_needs_no_evidence() -> None:
    nothing = Facts(NOW, None, None, {})
    assert propose(at(Percentages()), STEPS, nothing).standing is Standing.MET


@pytest.mark.parametrize(
    ("facts", "name", "standing", "words"),
    [
        (replace(GOOD, watched=None), "soak", Standing.OPEN, "no shim has taken up"),
        (
            replace(GOOD, watched=HOUR),
            "soak",
            Standing.OPEN,
            "watched for 1h of 1d, 23h",
        ),
        (replace(GOOD, brake="false kills"), "brake", Standing.FAILED, "engaged: false kills"),
        (replace(GOOD, findings={}), "agreement", Standing.OPEN, "no evidence"),
        (
            replace(
                GOOD,
                findings={**GOOD.findings, "returns": Check("returns", Standing.FAILED, "low")},
            ),
            "returns",
            Standing.FAILED,
            "low",
        ),
        (
            replace(
                GOOD,
                findings={
                    **GOOD.findings,
                    "stretches": Check("stretches", Standing.FAILED, "a day"),
                },
            ),
            "evidence",
            Standing.FAILED,
            "a day",
        ),
        (replace(GOOD, ready=False), "ready", Standing.OPEN, "the gate has to say ready"),
    ],
)
def test_what_stands_against_it(facts: Facts, name: str, standing: Standing, words: str) -> None:
    rollout = at(STEPS[1].percent)
    found, said = checks(rollout, facts)[name]
    assert found is standing
    assert words in said
    assert propose(rollout, STEPS, facts).standing is standing
    others = {key: value for key, value in checks(rollout, facts).items() if key != name}
    if name == "agreement":
        others.pop("returns")
    elif name == "returns":
        # What is refuted stands against every step, whether the plan requires it or not.
        assert others.pop("evidence") == (Standing.FAILED, "low")
    assert {s for s, _ in others.values()} == {Standing.MET}


def test_only_the_step_to_complete_needs_the_gate() -> None:
    undecided = replace(GOOD, ready=False)
    for step, needs in ((0, False), (1, True)):
        assert ("ready" in checks(at(STEPS[step].percent), undecided)) is needs


def test_the_kill_switch_stands_against_it() -> None:
    killed = replace(at(STEPS[0].percent), kill_switch=True)
    assert checks(killed, GOOD)["kill_switch"][0] is Standing.FAILED


def test_a_file_ahead_of_the_plan() -> None:
    ahead = at(Percentages(complete=5, live=1, shadow=3))
    proposal = propose(ahead, STEPS, GOOD)
    assert proposal.step is None
    assert proposal.standing is Standing.FAILED


def test_the_soak_is_over_at_its_very_end() -> None:
    for early, standing in ((0, Standing.MET), (1, Standing.OPEN)):
        facts = replace(GOOD, watched=2 * HOUR - early)
        assert checks(at(STEPS[0].percent), facts)["soak"][0] is standing


@st.composite
def plans(draw: st.DrawFn) -> list[StepSettings]:
    """Steps whose cumulative thresholds never fall."""
    complete, live, shadow = 0, 0, 0
    steps = []
    for _ in range(draw(st.integers(1, 5))):
        complete = draw(st.integers(complete, 100))
        live = max(complete, draw(st.integers(live, 100)))
        shadow = max(live, draw(st.integers(shadow, 100)))
        steps.append(
            step(
                Percentages(complete=Decimal(complete), live=live - complete, shadow=shadow - live)
            )
        )
    return steps


@given(steps=plans(), start=percentages())
def test_a_plan_never_demotes_anyone_and_comes_to_its_end(
    steps: list[StepSettings], start: Percentages
) -> None:
    def walk() -> Iterator[Targeting]:
        rollout = at(start)
        yield rollout
        while True:
            proposal = propose(rollout, steps, GOOD)
            if proposal.percent is None or proposal.standing is not Standing.MET:
                return
            rollout = replace(rollout, percent=proposal.percent)
            yield rollout

    files = list(walk())
    assert len(files) <= len(steps) + 1
    for before, after in pairwise(files):
        assert all(group.moves.demoted == 0 for group in compare(before, after).groups)
    positions = [-1 if (p := position(f.percent, steps)) is None else p for f in files]
    assert positions == list(accumulate(positions, max))
    if len(files) > 1:
        assert positions[-1] == len(steps) - 1
