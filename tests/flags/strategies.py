"""Rollouts for property tests."""

from collections.abc import Sequence

from hypothesis import strategies as st

from shim.flags.targeting import Percentages, Rule, Targeting
from shim.model import Stage

USERS = st.text(alphabet="ab.@*[]!-", max_size=6)
STAGES = st.sampled_from(Stage)
_CUTS = st.lists(st.integers(0, 100), min_size=3, max_size=3)


@st.composite
def percentages(draw: st.DrawFn) -> Percentages:
    """Any widths that add to at most 100."""
    return _between(sorted(draw(_CUTS)))


@st.composite
def raised_percentages(draw: st.DrawFn) -> tuple[Percentages, Percentages]:
    """Two of them, no threshold of the second below that of the first."""
    first, second = sorted(draw(_CUTS)), sorted(draw(_CUTS))
    return _between([*map(min, first, second)]), _between([*map(max, first, second)])


def _between(cuts: Sequence[int]) -> Percentages:
    return Percentages(complete=cuts[0], live=cuts[1] - cuts[0], shadow=cuts[2] - cuts[1])


@st.composite
def rollouts(draw: st.DrawFn, patterns: st.SearchStrategy[str] = USERS) -> Targeting:
    users = st.lists(patterns, min_size=1, max_size=3).map(tuple)
    rules: list[Rule] = []
    for index in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            rules.append(Rule(f"r{index}", draw(users), stage=draw(STAGES)))
        else:
            rules.append(Rule(f"r{index}", draw(users), percent=draw(percentages())))
    return Targeting(
        flag="f",
        salt=draw(st.sampled_from(["s1", "s2"])),
        default=draw(STAGES),
        kill_switch=draw(st.booleans()),
        holdback=draw(st.integers(0, 100)),
        overrides=draw(st.dictionaries(USERS, STAGES, max_size=2)),
        rules=tuple(rules),
        percent=draw(percentages()),
    )
