"""How long more data would take to come (R16): in the first period, and after it."""

from collections.abc import Callable

import pytest

from shim.gate.evidence import KindEvidence
from shim.gate.kind_gate import KindGate, format_days, wanted_e_value
from shim.model import Kind
from tests.gate.evidence import DAY, TARGETS

TOO_CLOSE = "more data of the same kind would not do: the figure is too close"
NO_NEW_ONES = "; no new ones occur in this trial any more"


def gate(days: float, *, users: int = 0, unsettled: int = 0, later: int = 0) -> KindGate:
    """A kind of connection of which so many days were seen; the first period has seven."""
    evidence = KindEvidence(Kind.APP, users=users, unsettled_users=unsettled, later_users=later)
    return KindGate(evidence, TARGETS, round(days * DAY))


def from_factor(least: float) -> Callable[[float], bool]:
    """A test that holds on so many times the data, and on more."""
    return lambda factor: factor >= least


@pytest.mark.parametrize(
    ("case", "least", "missing", "days"),
    [
        # In the first period as many come as have come, in as long a time.
        (gate(3.5), 2, "about 100 more users", 3.5),
        (gate(3.5), 1.5, "about 50 more users", 3.5),
        (gate(3.5), 2.5, "about 150 more users", None),
        (gate(7 - 1 / 1024), 1024, "about 102300 more users", None),
        # After it only new users count: 20 of 100 on one day.
        (gate(8, users=80, unsettled=20, later=20), 2, "about 100 more users", 5),
        (gate(9, users=100, later=20), 3, "about 200 more users", 20),
        (gate(8, users=100), 2, f"about 100 more users{NO_NEW_ONES}", None),
        (gate(7, users=100), 2, f"about 100 more users{NO_NEW_ONES}", None),
        (gate(8, users=100, later=20), 1025, TOO_CLOSE, None),
        (gate(8, users=100, later=20), 10**9, TOO_CLOSE, None),
    ],
)
def test_what_is_missing_and_when_it_will_have_come(
    case: KindGate, least: float, missing: str, days: float | None
) -> None:
    eta = None if days is None else round(days * DAY)
    assert case.until_holds(100, "users", from_factor(least)) == (missing, eta)


@pytest.mark.parametrize("least", [1.001, 1.004, 1.9, 2.001, 3, 37.7, 900])
def test_what_is_missing_is_found_to_a_thousandth(least: float) -> None:
    """Never less than is needed."""
    text, _ = gate(8, later=1).until_holds(1e6, "rows", from_factor(least))
    found = int(text.split()[1]) / 1e6 + 1
    assert least <= found <= least * 1.001


def test_the_end_of_the_first_period_will_do_if_as_many_again_would() -> None:
    half = gate(3.5)
    assert half.until_final(from_factor(2)) == 3.5 * DAY
    assert half.until_final(from_factor(2.001)) is None
    assert gate(7).until_final(from_factor(0)) is None
    assert gate(0).until_final(from_factor(0)) is None
    assert half.first_period_left == 3.5 * DAY
    assert gate(9).first_period_left == 0


def test_what_comes_all_the_time_goes_on_coming() -> None:
    assert gate(4).until(100, 300) == 8 * DAY
    assert gate(4).until(0, 300) is None
    # Whole microseconds.
    assert isinstance(gate(4).until(7, 20), int)


def test_later_trials_need_more() -> None:
    assert [wanted_e_value(attempt) for attempt in (1, 2, 3)] == [40, 120, 240]
    assert gate(1).wanted == 40
    assert gate(1).alpha == 1 / 80


@pytest.mark.parametrize(
    ("days", "text"), [(2, "2 d"), (0.5, "0.5 d"), (1.23456, "1.23 d"), (100, "100 d")]
)
def test_a_time_in_days(days: float, text: str) -> None:
    assert format_days(round(days * DAY)) == text
