"""R16: which parts of the flags file decide, and whether only widths grew."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from shim.flags import Percentages, Rule, Targeting
from shim.flags.deciding import arm_shares, deciding_text, digest_of, only_widths_grew
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
        {"percent": Percentages(live=51, shadow=49)},
    ],
)
def test_everything_else_decides(change: dict[str, Any]) -> None:
    assert deciding_text(replace(HALVES, **change)) != deciding_text(HALVES)


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


def test_the_widths_of_rules_grow_too() -> None:
    before = replace(HALVES, rules=(RULE,))
    wider = replace(HALVES, rules=(replace(RULE, percent=Percentages(live=20)),))
    assert only_widths_grew(deciding_text(before), deciding_text(wider))
    assert not only_widths_grew(deciding_text(wider), deciding_text(before))


def test_the_arms_are_as_wide_as_the_file_says() -> None:
    shares = arm_shares(deciding_text(HALVES), "everybody")
    assert shares is not None
    assert shares[Role.CONTROL] == pytest.approx(0.525)
    assert shares[Role.CANDIDATE] == pytest.approx(0.475)


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
