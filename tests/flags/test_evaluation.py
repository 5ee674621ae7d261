"""What an evaluation says of itself: whether chance decided, and why, word by word."""

from dataclasses import fields, replace
from decimal import Decimal

import pytest

from shim.flags.evaluation import Cap, Evaluation, Reason, Threshold
from shim.flags.targeting import Percentages, Rule, Targeting, everyone_at
from shim.model import BY_CHANCE, Placement, Stage

SALT = "monitor-rollout"
BOB = "bob@example.com"  # bucket 58671

NAMED = Rule("named", ("bob@*",), stage=Stage.LIVE)
MISSING = Rule("missing", ("bob@*",), percent=Percentages(live=1))
HITTING = Rule("hitting", ("bob@*",), percent=Percentages(live=90))


def evaluation(*rules: Rule, brake: bool = False, **more: object) -> Evaluation:
    return Targeting("f", SALT, rules=rules, **more).evaluate(BOB, brake=brake)  # type: ignore[arg-type]


def provided(detail: str) -> Evaluation:
    return evaluation()._replace(reason=Reason.PROVIDER, detail=detail)


NO_GROUP, OVERRIDE = Placement(None), Placement(None, override=True)


@pytest.mark.parametrize(
    ("asked", "placement"),
    [
        (evaluation(), NO_GROUP),
        (evaluation(overrides={BOB: Stage.LIVE}), OVERRIDE),
        (evaluation(overrides={BOB: Stage.LIVE}, percent=Percentages(live=90)), OVERRIDE),
        (evaluation(NAMED), NO_GROUP),
        (evaluation(NAMED, percent=Percentages(live=90)), NO_GROUP),
        (evaluation(HITTING), Placement("hitting")),
        # Chance has put the user where no percentage hits, too.
        (evaluation(MISSING), Placement("missing")),
        (evaluation(MISSING, NAMED), Placement("missing")),
        # The first rule by which chance decided.
        (evaluation(MISSING, replace(MISSING, name="second")), Placement("missing")),
        (evaluation(percent=Percentages(live=90)), BY_CHANCE),
        (evaluation(percent=Percentages(live=1)), BY_CHANCE),
        (evaluation(percent=Percentages(shadow=1)), BY_CHANCE),
        (evaluation(percent=Percentages()), NO_GROUP),
        (provided("SPLIT"), BY_CHANCE),
        (provided("TARGETING_MATCH"), NO_GROUP),
    ],
)
def test_r15_whether_chance_decided_and_in_which_group(
    asked: Evaluation, placement: Placement
) -> None:
    assert asked.placement == placement
    assert asked.by_percentage is (placement.group is not None)
    assert asked.as_dict()["by_percentage"] is asked.by_percentage


def test_the_threshold_is_the_one_that_the_bucket_is_below() -> None:
    widths = Percentages(complete=10, live=50, shadow=20)
    assert evaluation(percent=widths).threshold == 60_000
    assert evaluation(percent=Percentages(complete=10, shadow=60)).threshold == 70_000
    assert evaluation(NAMED).threshold is None
    assert evaluation(percent=Percentages(live=1)).threshold is None
    at_off = evaluation(percent=Percentages(live=1), default=Stage.LIVE)
    assert (at_off.stage, at_off.reason, at_off.threshold) == (Stage.LIVE, Reason.DEFAULT, None)


HELD = "The holdback keeps holdback buckets below 100000 (100 %) at shadow; holdback bucket {} is."


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        (
            evaluation(),
            [
                f"{BOB} is at off.",
                "No rule and no percentage applies: bucket 58671 is not below 0 (0 %). "
                "The default is off.",
            ],
        ),
        (
            evaluation(percent=Percentages(complete=10, live=5, shadow=2), default=Stage.SHADOW),
            [
                f"{BOB} is at shadow.",
                "No rule and no percentage applies: bucket 58671 is not below 17000 (17 %). "
                "The default is shadow.",
            ],
        ),
        (
            evaluation(overrides={BOB: Stage.LIVE}, kill_switch=True),
            [
                f"{BOB} is at off.",
                "An override gives this very user live.",
                "The kill switch is on: everyone is at off.",
            ],
        ),
        (
            evaluation(MISSING, NAMED, brake=True),
            [
                f"{BOB} is at shadow.",
                "Rule 'missing' names this user, but its percentages miss.",
                "Rule 'named' gives live.",
                "The brake is engaged: everyone is at shadow at most.",
            ],
        ),
        (
            evaluation(HITTING),
            [
                f"{BOB} is at live.",
                "Rule 'hitting' gives live: bucket 58671 is below 90000 (90 %).",
            ],
        ),
        (
            evaluation(percent=Percentages(complete=10, live=Decimal("50.5"), shadow=20)),
            [
                f"{BOB} is at live.",
                "The percentages for everybody give live: bucket 58671 is below 60500 (60.5 %) "
                "and not below 10000 (10 %).",
            ],
        ),
        (
            evaluation(percent=Percentages(complete=90)),
            [
                f"{BOB} is at complete.",
                "The percentages for everybody give complete: bucket 58671 is below 90000 (90 %).",
            ],
        ),
        (
            # The thresholds above the bucket do not say where it lies.
            evaluation(percent=Percentages(complete=10, live=20, shadow=60)),
            [
                f"{BOB} is at shadow.",
                "The percentages for everybody give shadow: bucket 58671 is below 90000 (90 %) "
                "and not below 30000 (30 %).",
            ],
        ),
        (
            evaluation(percent=Percentages(complete=Decimal("58.671"), live=41)),
            [
                f"{BOB} is at live.",
                "The percentages for everybody give live: bucket 58671 is below 99671 (99.671 %) "
                "and not below 58671 (58.671 %).",
            ],
        ),
        (
            evaluation(HITTING, holdback=100, brake=True),
            [
                f"{BOB} is at shadow.",
                "Rule 'hitting' gives live: bucket 58671 is below 90000 (90 %).",
                HELD.format(evaluation().holdback_bucket),
            ],
        ),
        (
            provided("TARGETING_MATCH"),
            [f"{BOB} is at off.", "The OpenFeature provider gives off: TARGETING_MATCH."],
        ),
        (
            evaluation()._replace(detail="the provider is not ready"),
            [
                f"{BOB} is at off.",
                "The OpenFeature provider gave no stage: the provider is not ready.",
                "No rule and no percentage applies: bucket 58671 is not below 0 (0 %). "
                "The default is off.",
            ],
        ),
    ],
)
def test_the_explanation_word_by_word(asked: Evaluation, lines: list[str]) -> None:
    assert asked.explain().splitlines() == lines


def test_everything_is_in_the_json() -> None:
    asked = evaluation(MISSING, HITTING, holdback=100)
    assert asked.as_dict() == {
        "flag": "f",
        "user": BOB,
        "stage": "shadow",
        "reason": "rule",
        "rule": "hitting",
        "rule_index": 1,
        "missed": ["missing"],
        "by_percentage": True,
        "granted": "live",
        "lowered_by": "holdback",
        "bucket": 58671,
        "threshold": 90_000,
        "thresholds": {"complete": 0, "live": 90_000, "shadow": 90_000},
        "holdback_bucket": asked.holdback_bucket,
        "holdback_threshold": 100_000,
        "detail": None,
    }
    assert evaluation().as_dict()["lowered_by"] is None


@pytest.mark.parametrize(
    ("brake", "kill_switch", "holdback", "stage", "cap"),
    [
        (False, False, 0, Stage.LIVE, None),
        (True, False, 0, Stage.SHADOW, Cap.BRAKE),
        (True, False, 100, Stage.SHADOW, Cap.HOLDBACK),
        (True, True, 100, Stage.OFF, Cap.KILL_SWITCH),
    ],
)
def test_what_lowered_the_stage_is_named(
    brake: bool, kill_switch: bool, holdback: int, stage: Stage, cap: Cap | None
) -> None:
    asked = evaluation(NAMED, brake=brake, kill_switch=kill_switch, holdback=holdback)
    assert (asked.stage, asked.lowered_by, asked.granted) == (stage, cap, Stage.LIVE)


def test_the_brake_lowers_nobody_who_is_at_shadow() -> None:
    asked = evaluation(brake=True, holdback=100, default=Stage.SHADOW)
    assert (asked.stage, asked.lowered_by) == (Stage.SHADOW, None)
    off = evaluation(kill_switch=True)
    assert (off.stage, off.lowered_by) == (Stage.OFF, None)


def test_what_was_computed_is_no_part_of_what_a_file_says() -> None:
    """Two readings of one file are equal, and printing one shows what stands in the file."""
    assert Targeting("f", SALT) == Targeting("f", SALT)
    assert Percentages(live=3) == Percentages(live=Decimal(3))
    shown = {
        field.name: (field.init, field.repr, field.compare)
        for type_ in (Percentages, Targeting)
        for field in fields(type_)
    }
    computed = {"thresholds", "patterns", "_bucket", "_holdback_bucket", "held_below"}
    assert {name for name, flags in shown.items() if flags == (False, False, False)} == computed
    assert {name for name, flags in shown.items() if flags == (True, True, True)} == (
        set(shown) - computed
    )


def test_without_a_file_everyone_is_at_one_stage() -> None:
    everyone = everyone_at(Stage.LIVE).evaluate(BOB)
    assert (everyone.stage, everyone.reason, everyone.by_percentage) == (
        Stage.LIVE,
        Reason.DEFAULT,
        False,
    )
    assert everyone.thresholds == (
        Threshold(Stage.COMPLETE, 0),
        Threshold(Stage.LIVE, 0),
        Threshold(Stage.SHADOW, 0),
    )
