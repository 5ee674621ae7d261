"""`export --flagd`: what is written, where equal meaning leaves a choice."""

from typing import Any

import pytest

from shim.flags.flagd import flagd_flags
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Stage

USER = {"var": "targetingKey"}


def flag(**values: Any) -> dict[str, Any]:
    definition = flagd_flags(Targeting("f", "s", **values))
    assert definition["$schema"] == "https://flagd.dev/schema/v0/flags.json"
    assert list(definition["flags"]) == ["f"]
    found: dict[str, Any] = definition["flags"]["f"]
    assert found["state"] == "ENABLED"
    assert found["variants"] == {name: name for name in ("off", "shadow", "live", "complete")}
    return found


def rule(*users: str) -> dict[str, Any]:
    return {"rules": (Rule("r", users, stage=Stage.LIVE),)}


def test_a_default_alone_needs_no_targeting() -> None:
    found = flag(default=Stage.SHADOW)
    assert (found["defaultVariant"], found["targeting"]) == ("shadow", {})


def test_the_kill_switch_is_off_for_everybody() -> None:
    found = flag(default=Stage.LIVE, kill_switch=True, **rule("*"))
    assert (found["defaultVariant"], found["targeting"]) == ("off", {})


@pytest.mark.parametrize(
    ("users", "condition"),
    [
        (("a",), {"in": [USER, ["a"]]}),
        (("a", "b"), {"in": [USER, ["a", "b"]]}),
        (("a*",), {"starts_with": [USER, "a"]}),
        (("*a",), {"ends_with": [USER, "a"]}),
        (("*a*",), {"in": ["a", USER]}),
        (("*",), True),
        (("a*b",), {"and": [{"starts_with": [USER, "a"]}, {"ends_with": [USER, "b"]}]}),
        (("a*", "x", "y"), {"or": [{"in": [USER, ["x", "y"]]}, {"starts_with": [USER, "a"]}]}),
    ],
)
def test_users_are_asked_for_once(users: tuple[str, ...], condition: Any) -> None:
    assert flag(**rule(*users))["targeting"] == {"if": [condition, "live", "off"]}


def test_who_is_held_back_is_at_shadow_at_most() -> None:
    lot: Any = [{"cat": ["s:holdback", USER]}, ["held", 20_000], ["none", 80_000]]
    held: Any = {"==": [{"fractional": lot}, "held"]}
    for default, lowered in ((Stage.COMPLETE, "shadow"), (Stage.OFF, "off")):
        found = flag(holdback=20, default=default)
        assert found["targeting"] == {"if": [held, lowered, str(default)]}


def test_overrides_by_stage_then_the_holdback_then_everybody() -> None:
    found = flag(
        overrides={"b": Stage.LIVE, "a": Stage.OFF, "c": Stage.LIVE},
        holdback=20,
        percent=Percentages(complete=1, live=2),
        default=Stage.SHADOW,
    )
    # With complete and live both lowered to shadow, one width is left; then come all others.
    held: Any = {"fractional": [{"cat": ["s", USER]}, ["shadow", 3_000], ["none", 97_000]]}
    widths: Any = [["complete", 1_000], ["live", 2_000], ["none", 97_000]]
    hit: Any = {"fractional": [{"cat": ["s", USER]}, *widths]}
    lot: Any = [{"cat": ["s:holdback", USER]}, ["held", 20_000], ["none", 80_000]]
    assert found["targeting"] == {
        "if": [
            {"in": [USER, ["a"]]},
            "off",
            {"in": [USER, ["b", "c"]]},
            "live",
            {"==": [{"fractional": lot}, "held"]},
            {"if": [{"!=": [held, "none"]}, held, "shadow"]},
            {"if": [{"!=": [hit, "none"]}, hit, "shadow"]},
        ]
    }
