"""Where a file lets the candidate act."""

from dataclasses import replace
from decimal import Decimal

import pytest

from shim.flags.targeting import (
    Percentages,
    Rule,
    Targeting,
    everyone_at,
    places_of_acting_candidate,
)
from shim.model import Stage

FILE = Targeting(
    "f",
    "s",
    overrides={"ann": Stage.COMPLETE, "bob": Stage.SHADOW},
    rules=(
        Rule("r0", ("*",), stage=Stage.LIVE),
        Rule("r1", ("*",), stage=Stage.OFF),
        Rule("r2", ("*",), percent=Percentages(live=1, shadow=9)),
    ),
    percent=Percentages(complete=1, live=2),
)


def test_every_place_is_named() -> None:
    assert list(places_of_acting_candidate(FILE)) == [
        "overrides.ann",
        "rules[0].stage",
        "rules[2].percent.live",
        "percent.complete",
        "percent.live",
    ]


def test_what_reaches_nobody_is_not() -> None:
    assert not list(places_of_acting_candidate(replace(FILE, kill_switch=True)))
    assert list(places_of_acting_candidate(replace(FILE, holdback=100))) == ["overrides.ann"]
    full = Targeting("f", "s", default=Stage.LIVE, percent=Percentages(shadow=100))
    assert not list(places_of_acting_candidate(full))
    one_bucket_less = replace(full, percent=Percentages(shadow=Decimal("99.999")))
    assert list(places_of_acting_candidate(one_bucket_less)) == ["default"]


@pytest.mark.parametrize(
    ("stage", "places"),
    [
        (Stage.OFF, []),
        (Stage.SHADOW, []),
        (Stage.LIVE, ["default"]),
        (Stage.COMPLETE, ["default"]),
    ],
)
def test_the_default(stage: Stage, places: list[str]) -> None:
    assert list(places_of_acting_candidate(everyone_at(stage))) == places
