"""R16: which parts of the flags file decide, and whether only widths grew."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from shim.flags.deciding import (
    arm_shares,
    deciding_text,
    digest_of,
    only_widths_grew,
    reached_step,
    step_of,
)
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Role, Stage
from tests.flags.strategies import rollouts

HALVES = Targeting("f", "s", holdback=5, percent=Percentages(live=50, shadow=50))
RULE = Rule("staff", ("*@example.com",), percent=Percentages(live=10))


def test_overrides_decide_about_no_trial() -> None:
    other = replace(HALVES, overrides={"alice": Stage.COMPLETE})
    assert deciding_text(other) == deciding_text(HALVES)
    assert digest_of(deciding_text(other)) == digest_of(deciding_text(HALVES))


@pytest.mark.parametrize(
    "change",
    [
        {"salt": "other"},
        {"kill_switch": True},
        {"default": Stage.SHADOW},
        {"holdback": Decimal("4.5")},
        {"rules": (RULE,)},
        {"rules": (replace(RULE, percent=None, stage=Stage.LIVE),)},
        {"percent": Percentages(live=51, shadow=49)},
    ],
)
def test_everything_else_decides(change: dict[str, Any]) -> None:
    assert deciding_text(replace(HALVES, **change)) != deciding_text(HALVES)


def test_the_text_of_a_file_is_what_ledgers_have_kept_of_it() -> None:
    """Other words, or another order, would end each trial that runs while the shim is updated."""
    by_stage = Rule("team", ("a", "b"), stage=Stage.LIVE)
    assert deciding_text(replace(HALVES, rules=(RULE, by_stage))) == (
        '{"default":"off","holdback":5.0,"kill_switch":false,'
        '"percent":{"complete":0.0,"live":50.0,"shadow":50.0},"rules":['
        '{"name":"staff","percent":{"complete":0.0,"live":10.0,"shadow":0.0},"stage":null,'
        '"users":["*@example.com"]},'
        '{"name":"team","percent":null,"stage":"live","users":["a","b"]}],"salt":"s"}'
    )


@pytest.mark.parametrize(
    ("percent", "grew"),
    [
        (Percentages(live=50, shadow=50), True),
        (Percentages(live=100), True),
        (Percentages(complete=100), True),
        (Percentages(complete=10, live=40, shadow=50), True),
        (Percentages(live=49, shadow=51), False),
        (Percentages(live=60, shadow=30), False),
        (Percentages(complete=10), False),
    ],
)
def test_widths_grow_if_no_threshold_falls(percent: Percentages, grew: bool) -> None:
    after = deciding_text(replace(HALVES, percent=percent))
    assert only_widths_grew(deciding_text(HALVES), after) is grew


def test_anything_but_a_width_is_no_growth() -> None:
    wider = replace(HALVES, percent=Percentages(complete=100))
    changes: list[dict[str, Any]] = [
        {"salt": "x"},
        {"holdback": 0},
        {"rules": (RULE,)},
        {"default": Stage.LIVE},
    ]
    for change in changes:
        after = replace(wider, **change)
        assert not only_widths_grew(deciding_text(HALVES), deciding_text(after))


def test_another_rule_of_the_same_widths_is_no_growth() -> None:
    before = replace(HALVES, rules=(RULE,))
    for other in (replace(RULE, name="other"), replace(RULE, users=("*",))):
        after = replace(HALVES, rules=(other,))
        assert only_widths_grew(deciding_text(before), deciding_text(after)) is False


def test_the_widths_of_rules_grow_too() -> None:
    before = replace(HALVES, rules=(RULE,))
    wider = replace(HALVES, rules=(replace(RULE, percent=Percentages(live=20)),))
    assert only_widths_grew(deciding_text(before), deciding_text(wider))
    assert not only_widths_grew(deciding_text(wider), deciding_text(before))


def test_widths_where_there_were_none_are_no_growth() -> None:
    fixed = replace(HALVES, rules=(replace(RULE, percent=None, stage=Stage.LIVE),))
    widths = replace(HALVES, rules=(replace(RULE, percent=Percentages(complete=100)),))
    assert only_widths_grew(deciding_text(fixed), deciding_text(fixed))
    assert not only_widths_grew(deciding_text(fixed), deciding_text(widths))
    assert not only_widths_grew(deciding_text(widths), deciding_text(fixed))


WIDE = Rule("wide", ("*",), percent=Percentages(live=20, shadow=10))
STAGE = Rule("staff", ("*@example.com",), stage=Stage.LIVE)


@pytest.mark.parametrize(
    ("targeting", "group", "candidate"),
    [
        # 50 % less the holdback's 5 %; of the others, who get the default, nobody.
        (HALVES, "everybody", 0.475),
        (replace(HALVES, default=Stage.COMPLETE), "everybody", 0.475),
        (replace(HALVES, percent=Percentages(live=40)), "everybody", 0.38),
        (replace(HALVES, percent=Percentages(live=40), default=Stage.LIVE), "everybody", 0.95),
        (replace(HALVES, holdback=0), "everybody", 0.5),
        (replace(HALVES, holdback=100), "everybody", 0.0),
        (replace(HALVES, kill_switch=True), "everybody", 0.0),
        # Buckets below 20 % by the rule, those from 30 % to 50 % by the percentages for everybody.
        (replace(HALVES, rules=(WIDE,), holdback=0), "wide", 0.4),
        (replace(HALVES, rules=(WIDE,), holdback=0), "everybody", 0.5),
        (replace(HALVES, rules=(WIDE,), kill_switch=True), "wide", 0.0),
        # A user of one rule may be named by the other one, too.
        (replace(HALVES, rules=(WIDE, STAGE)), "wide", None),
        (replace(HALVES, rules=(WIDE, STAGE)), "everybody", 0.475),
        (replace(HALVES, rules=(STAGE,)), "staff", None),
        (replace(HALVES, rules=(WIDE,)), "other", None),
        (HALVES, "other", None),
    ],
)
def test_the_share_of_the_candidates_arm(
    targeting: Targeting, group: str, candidate: float | None
) -> None:
    shares = arm_shares(deciding_text(targeting), group)
    if candidate is None:
        assert shares is None
    else:
        assert shares == pytest.approx({Role.CONTROL: 1 - candidate, Role.CANDIDATE: candidate})


STEPS = [
    Percentages(live=1, shadow=50),
    Percentages(live=10, shadow=50),
    Percentages(live=50, shadow=50),
]


@pytest.mark.parametrize(
    ("percent", "step"),
    [
        (Percentages(), None),
        (Percentages(live=1, shadow=49), None),
        (Percentages(live=1, shadow=50), 0),
        (Percentages(live=9, shadow=41), None),
        (Percentages(live=9, shadow=60), 0),
        (Percentages(live=10, shadow=50), 1),
        (Percentages(live=50, shadow=50), 2),
        (Percentages(complete=100), 2),
    ],
)
def test_a_step_is_reached_when_all_its_thresholds_are(
    percent: Percentages, step: int | None
) -> None:
    assert reached_step(percent, STEPS) == step
    assert step_of(deciding_text(replace(HALVES, percent=percent)), STEPS) == step


@settings(deadline=None, max_examples=40)
@given(rollouts())
def test_the_shares_are_those_of_many_users(targeting: Targeting) -> None:
    users = [f"user{number}" for number in range(4000)]
    groups: dict[str, Counter[Role]] = {}
    for user in users:
        evaluation = targeting.evaluate(user)
        if (group := evaluation.placement.group) is not None:
            groups.setdefault(group, Counter())[evaluation.stage.acting] += 1
    for group, seen in groups.items():
        shares = arm_shares(deciding_text(targeting), group)
        if shares is not None and seen.total() > 1000:
            for role in Role:
                # Six standard deviations.
                assert abs(seen[role] / seen.total() - shares[role]) < 6 * 0.5 / seen.total() ** 0.5


def test_a_digest_is_the_begin_of_sha_256_in_hex() -> None:
    assert digest_of("") == "e3b0c44298fc1c14"
    assert digest_of("\udc80") != digest_of("")  # what no encoding can say, too
