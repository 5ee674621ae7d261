"""`export --flagd`: read by JsonLogic with our buckets, it gives every user our stage."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.flags.buckets import bucket
from shim.flags.flagd import flagd_flags
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import InputError, Stage
from tests.flags.strategies import USERS, rollouts

GLOBS = st.sampled_from(["*@a.b", "a*", "*", "*b*", "b*a.", "exactly", "a", "**"])


def logic(rule: Any, user: str) -> Any:
    """What JsonLogic makes of a rule, with the operations of flagd."""
    if not isinstance(rule, dict):
        return [logic(each, user) for each in rule] if isinstance(rule, list) else rule
    ((operation, arguments),) = rule.items()
    match operation:
        case "var":
            assert arguments == "targetingKey"
            return user
        case "if":
            *branches, otherwise = arguments
            for condition, answer in zip(branches[::2], branches[1::2], strict=True):
                if logic(condition, user):
                    return logic(answer, user)
            return logic(otherwise, user)
        case "and":
            return all(logic(each, user) for each in arguments)
        case "or":
            return any(logic(each, user) for each in arguments)
    values = [logic(each, user) for each in arguments]
    match operation:
        case "==":
            return values[0] == values[1]
        case "!=":
            return values[0] != values[1]
        case "in":
            return values[0] in values[1]
        case "starts_with":
            return values[0].startswith(values[1])
        case "ends_with":
            return values[0].endswith(values[1])
        case "cat":
            return "\0".join(values)
        case "fractional":
            return fractional(*values)
    raise AssertionError(operation)


def fractional(bucketed: str, *weights: list[Any]) -> str:
    assert sum(weight for _, weight in weights) == 100_000
    assert len(weights) > 1
    left = bucket(*bucketed.split("\0", 1))
    for variant, weight in weights:
        if left < weight:
            return str(variant)
        left -= weight
    raise AssertionError("the weights end before the bucket")


def stage_in_flagd(definition: dict[str, Any], user: str) -> str:
    (flag,) = definition["flags"].values()
    variant = logic(flag["targeting"], user) if flag["targeting"] else flag["defaultVariant"]
    assert flag["variants"][variant] == variant
    return str(variant)


@given(rollout=rollouts(GLOBS), user=USERS | st.sampled_from(["x@a.b", "exactly", "ba.", "b!a."]))
def test_the_export_means_the_same(rollout: Targeting, user: str) -> None:
    definition = json.loads(json.dumps(flagd_flags(rollout)))
    assert stage_in_flagd(definition, user) == str(rollout.evaluate(user).stage)


def test_globs_that_flagd_lacks_are_refused_all_at_once() -> None:
    rules = (
        Rule("one", ("a?c", "fine"), stage=Stage.LIVE),
        Rule("two", ("fine*", "a*b*c"), percent=Percentages(live=1)),
    )
    with pytest.raises(InputError) as caught:
        flagd_flags(Targeting("f", "s", rules=rules))
    assert [problem.path for problem in caught.value.problems] == [
        "rules[0].users[0]",
        "rules[1].users[1]",
    ]
