"""The sample ratio against scipy's distributions: do the users stand to each other as the widths say (R16)?"""

from math import inf, isclose, log

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from shim.gate.sample_ratio import UNSOUND, ArmUsers, log_multinomial_e_value
from shim.model import Role


def users(control: int, candidate: int, share: float, crossed: int = 0) -> ArmUsers:
    seen = {Role.CONTROL: control, Role.CANDIDATE: candidate}
    return ArmUsers(seen, crossed, {Role.CONTROL: 1 - share, Role.CANDIDATE: share})


@example(450, 550, 0.5)  # so many that the strongest prior has its part
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.05, 0.95))
def test_the_evidence_is_that_of_priors_of_four_strengths(
    control: int, candidate: int, share: float
) -> None:
    total = control + candidate
    plain = binom.pmf(candidate, total, share)
    priors = [
        betabinom.pmf(candidate, total, strength * share, strength * (1 - share))
        for strength in (10, 100, 1_000, 10_000)
    ]
    expected = log(sum(priors) / 4 / plain)
    assert isclose(users(control, candidate, share).log_e_value, expected, abs_tol=1e-8)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_on_average_users_who_stand_as_the_widths_say_are_no_evidence(share: float) -> None:
    e_values = [2.718281828459045 ** users(n, 40 - n, share).log_e_value for n in range(41)]
    chances = [binom.pmf(40 - n, 40, share) for n in range(41)]
    assert sum(map(float.__mul__, e_values, chances)) == pytest.approx(1)


@given(st.integers(0, 3_000), st.integers(0, 3_000), st.sampled_from([0.2, 0.5, 0.8]))
def test_a_ratio_is_off_from_an_e_value_of_1000_on(
    control: int, candidate: int, share: float
) -> None:
    assert UNSOUND == 1000
    both = users(control, candidate, share)
    assert both.is_off == (both.log_e_value >= log(1000))


def test_an_arm_without_a_share_must_have_no_user() -> None:
    assert users(10, 0, 0.0).log_e_value == 0
    assert users(10, 1, 0.0).log_e_value == inf
    assert users(10, 1, 0.0).is_off
    assert log_multinomial_e_value([], []) == 0
    assert log_multinomial_e_value([5, 0, 7], [0.5, 0.0, 0.5]) == pytest.approx(
        users(5, 7, 0.5).log_e_value
    )


def test_users_with_outcomes_in_both_arms_are_left_out() -> None:
    assert users(30, 10, 0.5, crossed=500).log_e_value == users(30, 10, 0.5).log_e_value
    assert ArmUsers({}, 3, {Role.CONTROL: 0.5, Role.CANDIDATE: 0.5}).log_e_value == 0


def test_an_arm_of_which_nothing_is_said_has_no_share_and_no_user() -> None:
    """Where the candidate acts for nobody, its arm may be missing."""
    assert ArmUsers({Role.CONTROL: 10}, 0, {Role.CONTROL: 1.0}).log_e_value == 0
    assert ArmUsers({Role.CANDIDATE: 1}, 0, {Role.CONTROL: 1.0}).is_off
    missing, zero = {Role.CONTROL: 10}, {Role.CONTROL: 10, Role.CANDIDATE: 0}
    halves = {Role.CONTROL: 0.5, Role.CANDIDATE: 0.5}
    assert ArmUsers(missing, 0, halves).log_e_value == ArmUsers(zero, 0, halves).log_e_value > 0
