"""Who moves from one flags file to the next: exact shares against counted users."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from shim.flags.buckets import BUCKETS
from shim.flags.diff import Group, Moves, compare, moves_of
from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Stage
from tests.flags.strategies import raised_percentages, rollouts

GLOBS = st.sampled_from(["*@a.example", "*@b.example", "*@?.example", "*", "[xy]*", "*5*"])
CROWD = [f"user{number}" for number in range(4000)]


def shares(moves: Moves) -> dict[tuple[Stage, Stage], Fraction]:
    return {move: Fraction(weight, moves.total) for move, weight in moves.weights.items() if weight}


def group(groups: tuple[Group, ...], glob: str | None) -> Group:
    (found,) = [g for g in groups if (g.globs is None if glob is None else glob in (g.globs or ()))]
    return found


def test_shares_are_exact() -> None:
    old = Targeting("f", "s", holdback=5, percent=Percentages(live=1, shadow=10))
    new = replace(old, percent=Percentages(live=5, shadow=20))
    (everyone,) = compare(old, new).groups
    assert everyone.globs is None
    assert shares(everyone.moves) == {
        (Stage.LIVE, Stage.LIVE): Fraction(1, 100) * Fraction(95, 100),
        (Stage.SHADOW, Stage.LIVE): Fraction(4, 100) * Fraction(95, 100),
        # Of the old `live` and the new one, the held back stay at `shadow`.
        (Stage.SHADOW, Stage.SHADOW): Fraction(6, 100) + Fraction(5, 100) * Fraction(5, 100),
        (Stage.OFF, Stage.SHADOW): Fraction(14, 100),
        (Stage.OFF, Stage.OFF): Fraction(75, 100),
    }
    assert everyone.moves.percent(everyone.moves.moved) == 17.8
    assert everyone.moves.demoted == 0


def test_another_salt_shuffles_everybody() -> None:
    old = Targeting("f", "s", percent=Percentages(live=50))
    (everyone,) = compare(old, replace(old, salt="t")).groups
    assert set(shares(everyone.moves).values()) == {Fraction(1, 4)}


def test_named_users_are_told_by_name() -> None:
    old = Targeting("f", "s", overrides={"ann": Stage.LIVE, "bob": Stage.SHADOW})
    rule = Rule("staff", ("cid", "*@x.example"), stage=Stage.LIVE)
    new = replace(old, overrides={"bob": Stage.SHADOW}, rules=(rule,))
    comparison = compare(old, new)
    assert comparison.moved_users == (
        ("ann", Stage.LIVE, Stage.OFF),
        ("cid", Stage.OFF, Stage.LIVE),
    )
    assert (comparison.named.total, comparison.named.moved, comparison.named.demoted) == (3, 2, 1)
    staff = group(comparison.groups, "*@x.example").moves
    assert shares(staff) == {(Stage.OFF, Stage.LIVE): 1}
    assert group(comparison.groups, None).moves.moved == 0


def test_a_glob_in_a_wider_one_is_a_group_of_its_own() -> None:
    narrow = Rule("narrow", ("*@beta.x.example",), percent=Percentages(live=50))
    wide = Rule("wide", ("*@*x.example",), stage=Stage.SHADOW)
    old = Targeting("f", "s", rules=(wide,))
    groups = compare(old, replace(old, rules=(narrow, wide))).groups
    assert shares(group(groups, "*@beta.x.example").moves) == {
        (Stage.SHADOW, Stage.LIVE): Fraction(1, 2),
        (Stage.SHADOW, Stage.SHADOW): Fraction(1, 2),
    }
    assert group(groups, "*@*x.example").moves.moved == 0


def test_a_glob_of_few_characters_is_not_about_everybody_else() -> None:
    old = Targeting("f", "s")
    groups = compare(old, replace(old, rules=(Rule("few", ("?",), stage=Stage.LIVE),))).groups
    assert shares(group(groups, "?").moves) == {(Stage.OFF, Stage.LIVE): 1}
    assert group(groups, None).moves.moved == 0


@settings(max_examples=25, deadline=None)
@given(old=rollouts(GLOBS), new=rollouts(GLOBS))
def test_shares_are_those_of_a_crowd(old: Targeting, new: Targeting) -> None:
    groups = compare(old, new).groups
    everyone_else = shares(group(groups, None).moves)
    nobody_special = [
        user for user in CROWD if "5" not in user and user not in {*old.overrides, *new.overrides}
    ]
    counted = shares(moves_of(old, new, nobody_special))
    for move in {*everyone_else, *counted}:
        difference = everyone_else.get(move, Fraction(0)) - counted.get(move, Fraction(0))
        assert abs(difference) < 0.06, move


@given(raised=raised_percentages(), rules=rollouts(GLOBS))
def test_raised_thresholds_demote_nobody(
    raised: tuple[Percentages, Percentages], rules: Targeting
) -> None:
    """R18 for everybody at once, not for a sample of users."""
    before, after = raised
    for low, high in zip(before.thresholds, after.thresholds, strict=True):
        assert low.below <= high.below
    # With the default at `off`, so that being hit at all is no step back.
    old = replace(rules, percent=before, default=Stage.OFF)
    new = replace(old, percent=after)
    comparison = compare(old, new)
    assert comparison.named.demoted == 0
    assert all(each.moves.demoted == 0 for each in comparison.groups)


def test_the_globs_of_either_file_are_groups_and_a_glob_that_names_nobody_is_none() -> None:
    rule = Rule("r", ("team-*", "[b-a]x"), stage=Stage.LIVE)
    with_rule, without = Targeting("f", "s", rules=(rule,)), Targeting("f", "s")
    for old, new in ((with_rule, without), (without, with_rule)):
        assert [each.globs for each in compare(old, new).groups] == [None, ("team-*",)]
    # Whoever has at least two characters; the set without members would have one.
    everybody = replace(with_rule, rules=(Rule("all", ("??*", "[b-a]"), stage=Stage.LIVE),))
    assert [each.globs for each in compare(without, everybody).groups] == [None]


def test_the_weights_of_a_group_are_pairs_of_buckets() -> None:
    old = Targeting("f", "s", percent=Percentages(live=10), holdback=50)
    (everyone,) = compare(old, replace(old, percent=Percentages(live=20))).groups
    assert everyone.moves.total == BUCKETS**2


def test_changes_are_listed_demotions_first_and_then_by_stages() -> None:
    off, shadow, live = Stage.OFF, Stage.SHADOW, Stage.LIVE
    moves = Moves(Counter({(off, live): 3, (live, off): 5, (off, off): 9, (off, shadow): 2}))
    assert moves.changes() == [(live, off, 5), (off, shadow, 2), (off, live, 3)]
    assert (moves.total, moves.moved, moves.demoted) == (19, 10, 5)


def test_another_salt_multiplies_the_shares() -> None:
    """Independent: of those at live 20 % of the new file, whatever they were before."""
    old = Targeting("f", "one", percent=Percentages(live=10), holdback=50)
    new = Targeting("f", "two", percent=Percentages(complete=20), default=Stage.SHADOW)
    (everyone,) = compare(old, new).groups
    assert everyone.globs is None
    assert shares(everyone.moves) == {
        (Stage.OFF, Stage.SHADOW): Fraction(72, 100),
        (Stage.OFF, Stage.COMPLETE): Fraction(18, 100),
        (Stage.LIVE, Stage.SHADOW): Fraction(4, 100),
        (Stage.LIVE, Stage.COMPLETE): Fraction(1, 100),
        (Stage.SHADOW, Stage.SHADOW): Fraction(4, 100),
        (Stage.SHADOW, Stage.COMPLETE): Fraction(1, 100),
    }


def test_one_salt_moves_the_same_buckets() -> None:
    old = Targeting("f", "s", percent=Percentages(live=10), holdback=50)
    new = Targeting("f", "s", percent=Percentages(live=30), holdback=20)
    (everyone,) = compare(old, new).groups
    assert shares(everyone.moves) == {
        (Stage.LIVE, Stage.LIVE): Fraction(5, 100),
        (Stage.SHADOW, Stage.LIVE): Fraction(3, 100),
        (Stage.SHADOW, Stage.SHADOW): Fraction(2, 100),
        (Stage.OFF, Stage.LIVE): Fraction(16, 100),
        (Stage.OFF, Stage.SHADOW): Fraction(4, 100),
        (Stage.OFF, Stage.OFF): Fraction(70, 100),
    }
    assert everyone.moves.percent(everyone.moves.moved) == 23.0
    assert Moves(Counter()).percent(0) == 0.0


def test_users_who_are_named_are_counted_one_by_one() -> None:
    rule = Rule("r", ("bob", "team-*"), stage=Stage.LIVE)
    old = Targeting("f", "s", overrides={"alice": Stage.SHADOW, "carol": Stage.OFF})
    new = Targeting("f", "s", rules=(rule,), overrides={"carol": Stage.COMPLETE})
    comparison = compare(old, new)
    assert comparison.named.weights == {
        (Stage.SHADOW, Stage.OFF): 1,
        (Stage.OFF, Stage.LIVE): 1,
        (Stage.OFF, Stage.COMPLETE): 1,
    }
    assert comparison.moved_users == (
        ("alice", Stage.SHADOW, Stage.OFF),
        ("bob", Stage.OFF, Stage.LIVE),
        ("carol", Stage.OFF, Stage.COMPLETE),
    )
    assert [each.globs for each in comparison.groups] == [None, ("team-*",)]
