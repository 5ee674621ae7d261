"""R18 and R19: who is at which stage, and why."""

import json
import timeit
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.flags.buckets import bucket, holdback_salt
from shim.flags.evaluation import Cap, Evaluation, Reason
from shim.flags.patterns import UserPatterns
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Stage
from tests.flags.strategies import USERS, raised_percentages, rollouts

SALT = "monitor-rollout"
ALICE, BOB = "alice@example.com", "bob@example.com"  # buckets 83282 and 58671


def stage_of_the_design(rollout: Targeting, user: str, *, brake: bool) -> Stage:
    """R19 once more, written down as plainly as possible."""

    def by_widths(percent: Percentages) -> Stage | None:
        below = 0
        for stage in (Stage.COMPLETE, Stage.LIVE, Stage.SHADOW):
            below += round(getattr(percent, str(stage)) * 1000)
            if bucket(rollout.salt, user) < below:
                return stage
        return None

    def answers() -> Iterator[Stage | None]:
        yield rollout.overrides.get(user)
        for rule in rollout.rules:
            if any(fnmatchcase(user, glob) for glob in rule.users):
                yield rule.stage if rule.percent is None else by_widths(rule.percent)
        yield by_widths(rollout.percent)
        yield rollout.default

    stage = next(answer for answer in answers() if answer is not None)
    held = bucket(holdback_salt(rollout.salt), user) < rollout.holdback * 1000
    if user not in rollout.overrides and held:
        stage = min(stage, Stage.SHADOW)
    if brake:
        stage = min(stage, Stage.SHADOW)
    return Stage.OFF if rollout.kill_switch else stage


@given(rollout=rollouts(), user=USERS, brake=st.booleans())
def test_the_rules_of_the_design(rollout: Targeting, user: str, brake: bool) -> None:
    evaluation = rollout.evaluate(user, brake=brake)
    assert evaluation.stage is stage_of_the_design(rollout, user, brake=brake)
    assert (evaluation.lowered_by is not None) == (evaluation.stage is not evaluation.granted)
    assert evaluation.explain().startswith(f"{user} is at {evaluation.stage}.")
    assert json.loads(json.dumps(evaluation.as_dict()))["stage"] == str(evaluation.stage)


@given(rollout=rollouts(), user=USERS, brake=st.booleans())
def test_every_evaluation_names_what_granted_it(rollout: Targeting, user: str, brake: bool) -> None:
    evaluation = rollout.evaluate(user, brake=brake)
    assert (evaluation.rule is not None) == (evaluation.reason is Reason.RULE)
    if evaluation.rule_index is not None:
        rule = rollout.rules[evaluation.rule_index]
        assert rule.name == evaluation.rule
        assert f"Rule {rule.name!r} gives {evaluation.granted}" in evaluation.explain()
        assert any(fnmatchcase(user, glob) for glob in rule.users)
        by_bucket = rule.percent and rule.percent.stage_of(evaluation.bucket)
        assert evaluation.granted == (rule.stage if rule.percent is None else by_bucket)
    assert (evaluation.reason is Reason.OVERRIDE) == (user in rollout.overrides)


@given(rollout=rollouts(), users=st.lists(USERS, min_size=1, max_size=5), data=st.data())
def test_the_connections_of_one_user_share_a_stage(
    rollout: Targeting, users: list[str], data: st.DataObject
) -> None:
    """Whenever, after whomever and by whichever copy of the file a user is asked about."""
    again = replace(rollout, overrides=dict(rollout.overrides), rules=tuple(rollout.rules))
    first = {user: rollout.evaluate(user) for user in users}
    for user in data.draw(st.permutations(users)):
        assert rollout.evaluate(user) == again.evaluate(user) == first[user]


def _cost(rollout: Targeting, user: str) -> float:
    """Seconds."""
    return timeit.timeit(lambda: rollout.evaluate(user), number=200)


@pytest.mark.parametrize(
    "glob",
    ["*@domain{}.example", "team-{}-*", "team-{}-*@x.example", "*-team-{}-*", "?{}-*", "u{}"],
)
@pytest.mark.parametrize("one_rule", [True, False])
def test_ten_thousand_globs_cost_hardly_more_than_ten(glob: str, one_rule: bool) -> None:
    def rollout(count: int) -> Targeting:
        globs = tuple(glob.format(number) for number in range(count))
        lists = [globs] if one_rule else [(each,) for each in globs]
        rules = tuple(Rule(f"r{i}", users, stage=Stage.LIVE) for i, users in enumerate(lists))
        overrides = {f"u{number}@o.example": Stage.LIVE for number in range(count)}
        return Targeting("f", SALT, overrides=overrides, rules=rules)

    user = "someone-of-team-x@nowhere.example"
    many, few = rollout(10_000), rollout(10)
    # Asked one by one it is always 1000 times as much; new lengths of texts may cost a little. A machine that
    # others use may stand still in some of the measurements, but not in each of them.
    assert any(_cost(many, user) < 20 * _cost(few, user) for _ in range(100))


@given(raised=raised_percentages(), user=st.text(max_size=8))
def test_raising_a_threshold_moves_nobody_back(
    raised: tuple[Percentages, Percentages], user: str
) -> None:
    before, after = raised
    earlier = Targeting("f", SALT, percent=before).evaluate(user).stage
    assert Targeting("f", SALT, percent=after).evaluate(user).stage >= earlier


def test_the_order_of_the_widths_does_not_count() -> None:
    widths = {"complete": 10, "live": 50, "shadow": 20}
    stages = {
        Targeting("f", SALT, percent=Percentages(**{key: widths[key] for key in order}))
        .evaluate(BOB)
        .stage
        for order in permutations(widths)
    }
    assert stages == {Stage.LIVE}  # 58671: above complete's 10000, below live's 60000


def test_a_threshold_is_exclusive() -> None:
    user_bucket = bucket(SALT, BOB)
    assert user_bucket == 58671
    at = Targeting("f", SALT, percent=Percentages(live=58)).evaluate(BOB)
    assert at.stage is Stage.OFF
    above = Targeting("f", SALT, percent=Percentages(live=59)).evaluate(BOB)
    assert (above.stage, above.reason, above.threshold) == (Stage.LIVE, Reason.PERCENT, 59_000)


def test_whom_a_rule_misses_falls_through_to_the_next() -> None:
    rules = (
        Rule("narrow", ("*@example.com",), percent=Percentages(live=5)),
        Rule("wide", ("bob*",), stage=Stage.SHADOW),
    )
    evaluation = Targeting("f", SALT, rules=rules).evaluate(BOB)
    assert (evaluation.stage, evaluation.rule, evaluation.rule_index) == (Stage.SHADOW, "wide", 1)
    assert evaluation.missed == ("narrow",)
    assert "'narrow' names this user, but its percentages miss" in evaluation.explain()


def test_an_override_comes_before_rules_and_is_exempt_from_the_holdback() -> None:
    rollout = Targeting(
        "f",
        SALT,
        holdback=100,
        overrides={ALICE: Stage.COMPLETE},
        rules=(Rule("all", ("*",), stage=Stage.LIVE),),
    )
    alice, bob = rollout.evaluate(ALICE), rollout.evaluate(BOB)
    assert (alice.stage, alice.reason, alice.lowered_by) == (
        Stage.COMPLETE,
        Reason.OVERRIDE,
        None,
    )
    assert (bob.stage, bob.granted, bob.lowered_by) == (Stage.SHADOW, Stage.LIVE, Cap.HOLDBACK)


@pytest.mark.parametrize(
    ("kill_switch", "stage", "lowered_by"),
    [(False, Stage.SHADOW, Cap.BRAKE), (True, Stage.OFF, Cap.KILL_SWITCH)],
)
def test_brake_and_kill_switch_are_for_overrides_too(
    kill_switch: bool, stage: Stage, lowered_by: Cap
) -> None:
    overrides = {ALICE: Stage.COMPLETE}
    rollout = Targeting("f", SALT, kill_switch=kill_switch, overrides=overrides)
    evaluation = rollout.evaluate(ALICE, brake=True)
    assert (evaluation.stage, evaluation.lowered_by) == (stage, lowered_by)


def test_nothing_is_lowered_that_is_low_already() -> None:
    rollout = Targeting("f", SALT, holdback=100, default=Stage.SHADOW)
    assert rollout.evaluate(ALICE, brake=True).lowered_by is None


def _evaluation(rollout: Targeting) -> Evaluation:
    return rollout.evaluate(BOB)


def test_by_percentage_is_whoever_is_where_they_are_by_their_bucket() -> None:
    half = Percentages(live=50)
    missed = (Rule("half", ("*",), percent=half), Rule("rest", ("*",), stage=Stage.SHADOW))
    assert _evaluation(Targeting("f", SALT, percent=Percentages(live=60))).by_percentage
    assert _evaluation(Targeting("f", SALT, percent=half, default=Stage.SHADOW)).by_percentage
    assert _evaluation(Targeting("f", SALT, rules=missed)).by_percentage
    assert not _evaluation(Targeting("f", SALT)).by_percentage
    assert not _evaluation(Targeting("f", SALT, rules=missed[1:])).by_percentage
    override = Targeting("f", SALT, percent=half, overrides={BOB: Stage.LIVE})
    assert not _evaluation(override).by_percentage


@given(
    lists=st.lists(st.lists(st.text(alphabet="ab?*[]!-", max_size=7), max_size=4), max_size=4),
    user=st.text(alphabet="ab[]!-\n", max_size=8),
)
def test_globs_mean_what_fnmatch_says(lists: list[list[str]], user: str) -> None:
    expected = [
        index for index, globs in enumerate(lists) if any(fnmatchcase(user, glob) for glob in globs)
    ]
    assert UserPatterns(lists).lists_with(user) == expected


def test_head_and_tail_of_a_glob_do_not_overlap() -> None:
    patterns = UserPatterns([["ab*ba"], ["ab*?ba"]])
    assert patterns.lists_with("aba") == []
    assert patterns.lists_with("abba") == [0]
    assert patterns.lists_with("ab-ba") == [0, 1]


def test_widths_of_more_than_everybody_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 100"):
        Percentages(complete=50, live=50, shadow=1)


def test_a_rule_has_a_stage_or_percentages() -> None:
    with pytest.raises(ValueError, match="either"):
        Rule("r", ("*",))
    with pytest.raises(ValueError, match="either"):
        Rule("r", ("*",), stage=Stage.LIVE, percent=Percentages())
