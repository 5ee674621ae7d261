"""E-processes, sequences and intervals against exact sums, plain products and scipy."""

from collections import Counter
from math import comb, exp, inf, isclose, log, prod
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from shim.gate.statistics import (
    certainly_lower,
    finite_e_value,
    grown,
    log_e_value,
    log_e_value_below,
    lower_bound,
    mean_share,
    upper_bound,
    wilson,
)
from tests.gate.evidence import bernoulli

means = st.floats(0.01, 0.99)
pairs = st.integers(1, 7).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))
samples = st.lists(pairs, max_size=60)


@settings(deadline=None)
@given(samples, means)
def test_the_capital_is_won_by_fair_bets_in_any_order(
    sample: list[tuple[int, int]], mean: float
) -> None:
    """The oracle plays: one gambler per bet, stake by stake, in the order given."""
    bets = (0.98, 0.9, 0.75, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.0075)
    capitals = [
        start * prod((1 - bet) + bet * (s / t) / mean for s, t in sample)
        for bet, start in zip(bets, [0.4] + [0.6 / 9] * 9, strict=True)
    ]
    assert isclose(log_e_value(Counter(sample), mean), log(sum(capitals)), abs_tol=1e-9)


@pytest.mark.parametrize("mean", [0.1, 0.5, 0.95, 0.99])
@pytest.mark.parametrize("trials", [1, 7, 60])
def test_at_the_border_the_expected_capital_is_exactly_one(mean: float, trials: int) -> None:
    expected = sum(
        comb(trials, k)
        * mean**k
        * (1 - mean) ** (trials - k)
        * exp(log_e_value(bernoulli(k, trials), mean))
        for k in range(trials + 1)
    )
    assert isclose(expected, 1, rel_tol=1e-9)


@settings(deadline=None)
@given(samples, means, means)
def test_less_is_easier_to_refute(sample: list[tuple[int, int]], one: float, other: float) -> None:
    low, high = sorted((one, other))
    shares = Counter(sample)
    assert log_e_value(shares, low) >= log_e_value(shares, high) - 1e-9
    assert log_e_value_below(shares, low) <= log_e_value_below(shares, high) + 1e-9


@settings(deadline=None)
@given(samples, pairs, means)
def test_a_success_adds_evidence_and_a_failure_takes_it(
    sample: list[tuple[int, int]], pair: tuple[int, int], mean: float
) -> None:
    shares = Counter(sample)
    before = log_e_value(shares, mean)
    assert log_e_value(shares + Counter([(1, 1)]), mean) > before
    assert log_e_value(shares + Counter([(0, 1)]), mean) < before


@settings(deadline=None)
@given(samples, st.sampled_from([0.05, 0.025, 0.001]))
def test_bounds_are_where_the_evidence_reaches_its_threshold(
    sample: list[tuple[int, int]], alpha: float
) -> None:
    shares = Counter(sample)
    low, high = lower_bound(shares, alpha), upper_bound(shares, alpha)
    mean = mean_share(shares)
    if mean is None:
        assert (low, high) == (0, 1)
        return
    assert low <= mean <= high
    if low > 0.001:
        assert log_e_value(shares, low * 0.999) >= -log(alpha) >= log_e_value(shares, low * 1.001)
    if high < 0.999:
        assert log_e_value_below(shares, 1 - (1 - high) * 0.999) >= -log(alpha) - 1e-6


def test_bounds_on_one_side_of_the_middle_are_told_apart() -> None:
    """From 0.03 to 0.097, and from 0.130 on: only the first leaves out the middle of both means, 0.137."""
    lesser, greater = bernoulli(5, 160), bernoulli(28, 115)
    assert upper_bound(lesser, 0.05) < lower_bound(greater, 0.05) < 0.137
    assert certainly_lower(lesser, greater, 0.05)


def test_without_observations_there_is_no_evidence() -> None:
    assert log_e_value({}, 0.99) == pytest.approx(0)
    assert not certainly_lower({}, bernoulli(900, 900), 0.05)
    assert not certainly_lower(bernoulli(0, 900), {}, 0.05)
    assert mean_share({}) is None
    assert wilson(0, 0) is None


@settings(deadline=None)
@given(samples, samples, st.sampled_from([-0.3, -0.05, 0.0, 0.05, 0.3]))
def test_comparing_two_means_is_comparing_their_bounds(
    lesser: list[tuple[int, int]], greater: list[tuple[int, int]], margin: float
) -> None:
    """Many observations, so that sequences do exclude each other, and the shortcut decides nothing."""
    one, other = (grown(Counter(sample), 50) for sample in (lesser, greater))
    assume(one and other)
    expected = upper_bound(one, 0.05) < lower_bound(other, 0.05) - margin
    assert certainly_lower(one, other, 0.05, margin) == expected


@pytest.mark.parametrize("mean", [0.5, 0.95, 0.99])
def test_a_sequence_misses_the_truth_at_most_as_often_as_it_says(mean: float) -> None:
    """Looked at after each of 1 000 observations: the bound excludes the truth when its e-value is 20."""
    missed = 0
    for seed in range(200):
        random = Random(seed)
        successes = 0
        for trials in range(1, 1001):
            successes += random.random() < mean
            # Only a success can carry the bound over the truth.
            if successes / trials > mean and log_e_value(bernoulli(successes, trials), mean) >= log(
                20
            ):
                missed += 1
                break
    assert missed <= 10


def test_perfect_agreement_needs_so_many_users() -> None:
    """Fewer than 299 of one make can never show 0.99 at 95 %; betting needs little more."""
    needed = next(n for n in range(1, 1000) if log_e_value({(5, 5): n}, 0.99) >= log(20))
    assert 299 <= needed <= 400


@settings(deadline=None)
@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_scipys(counts: tuple[int, int]) -> None:
    successes, trials = counts
    interval = wilson(successes, trials)
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert interval == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_wilson_stays_between_nothing_and_everything() -> None:
    """Rounding carries neither end beyond what a share can be."""
    for trials in range(1, 3_000):
        none, every = wilson(0, trials), wilson(trials, trials)
        assert none is not None
        assert every is not None
        assert 0.0 <= none[0] < none[1] < 1.0
        assert none[0] == pytest.approx(0.0, abs=1e-12)
        assert 0.0 < every[0] < every[1] <= 1.0
        assert every[1] == pytest.approx(1.0, abs=1e-12)


def test_wilson_by_hand() -> None:
    """4 of 10 at z = 2: (0.4 + 0.2 -+ 2 sqrt(0.024 + 0.01)) / 1.4."""
    spread = 2 * (0.024 + 0.01) ** 0.5
    assert wilson(4, 10, z=2) == pytest.approx(((0.6 - spread) / 1.4, (0.6 + spread) / 1.4))


def test_a_margin_moves_what_is_compared() -> None:
    """0.90 against 0.98 of many: lower by 0.05 for sure, by 0.08 not, and not by 0.1."""
    lesser, greater = bernoulli(9_000, 10_000), bernoulli(9_800, 10_000)
    assert certainly_lower(lesser, greater, 0.05)
    assert certainly_lower(lesser, greater, 0.05, 0.05)
    assert not certainly_lower(lesser, greater, 0.05, 0.08)
    assert not certainly_lower(lesser, greater, 0.05, 0.1)
    assert not certainly_lower(greater, lesser, 0.05)
    assert certainly_lower(greater, greater, 0.05, -0.05)
    assert not certainly_lower(greater, greater, 0.05, 0.0)


def test_a_negative_margin_is_granted_to_the_lesser_mean() -> None:
    """Few of 0.95 may still be 0.97 or more, but for sure are not above many of 0.95 by 0.05."""
    few, many = bernoulli(190, 200), bernoulli(95_000, 100_000)
    assert 0.975 < upper_bound(few, 0.05) < lower_bound(many, 0.05) + 0.05
    assert certainly_lower(few, many, 0.05, -0.05)


def test_a_comparison_at_the_ends_of_what_a_mean_can_be() -> None:
    """Half way between the means, less the margin, lies 1 or 0: no mean that can be refuted."""
    assert not certainly_lower(bernoulli(19, 20), bernoulli(20, 20), 0.05, -0.05)
    assert not certainly_lower(bernoulli(0, 4), bernoulli(1, 4), 0.05, -0.25)
    # Few observations of the lesser mean do not refute the value half way; the bounds lie apart.
    assert certainly_lower(bernoulli(1, 10), bernoulli(6_000, 10_000), 0.05, -0.3)
    # What the lesser mean has to reach is more than everything, or less than nothing.
    assert certainly_lower(bernoulli(9_900, 10_000), bernoulli(10_000, 10_000), 0.05, -0.3)
    assert not certainly_lower(bernoulli(0, 10_000), bernoulli(100, 10_000), 0.05, 0.3)


def test_an_e_value_is_a_float_however_much_evidence_there_is() -> None:
    assert finite_e_value(log(40)) == pytest.approx(40)
    assert 1e298 < finite_e_value(1_000) == finite_e_value(inf) < 1e300
