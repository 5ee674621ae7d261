"""R6b: the guard alone: which decisions of the acting candidate it holds, and when it lets them go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.model import Decision, Terminate
from shim.router import Guard
from tests.router.helpers import Limits, S


def decision(number: int, at: int) -> Decision:
    return Decision(f"c{number}", at, at, 45 * S, (Terminate(),))


@given(
    st.lists(st.tuples(st.integers(0, 5 * S), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_r6b_every_close_goes_on_is_held_or_was_saved(
    steps: list[tuple[int, bool]], count: int, acting_for: int
) -> None:
    """Against a plain account of all decisions: who may be held, when, and how often it goes on."""
    limits = Limits(window=10 * S, share=0.25, count=count, hold=7 * S)
    guard = Guard(limits)
    now, saved, held, gone = 0, set(), {}, []
    decided: list[int] = []
    for number, (wait, saves) in enumerate(steps):
        now += wait
        while (released := guard.release(now)) is not None:
            gone.append((released.connection_id, now))
        guard.calm(now)
        was_holding = guard.holding
        recent = [at for at in decided if at > now - limits.window]
        decided.append(now)
        many = len(recent) + 1
        too_many = many >= count and many > 0.25 * (acting_for + len(recent))
        holds = guard.holds(decision(number, now), now, acting_for)
        guard.heard(now)
        if holds:
            assert was_holding or too_many
            held[f"c{number}"] = now
        else:
            assert not was_holding
            assert not too_many
        if saves and held:
            one = next(iter(held))
            if guard.forget(one) is not None:
                saved.add(one)
    for _ in range(1000):
        now += S
        while (released := guard.release(now)) is not None:
            gone.append((released.connection_id, now))
        guard.calm(now)
    assert not guard.holding
    assert guard.next_due is None
    assert sorted([*saved, *(name for name, _ in gone)]) == sorted(held)
    assert all(at >= held[name] + limits.hold for name, at in gone)


def overwhelmed(count: int = 3, acting_for: int = 10, at: int = 0) -> tuple[Guard, list[bool]]:
    """A guard of `count` and a quarter, told of so many decisions at once; which it held."""
    guard = Guard(Limits(window=10 * S, share=0.25, count=count, hold=7 * S))
    held = [guard.holds(decision(n, at), at, acting_for) for n in range(count + 1)]
    guard.heard(at)
    return guard, held


def test_too_many_are_as_many_as_the_count_and_more_than_the_share() -> None:
    """Those closed within the window count among the connections: the third decision is of 9 + 2."""
    assert overwhelmed(3, 9)[1] == [False, False, True, True]  # 3 are more than 2.75
    assert overwhelmed(3, 10)[1] == [False, False, False, True]  # 3 are a quarter of 12
    assert overwhelmed(4, 1)[1] == [False, False, False, True, True]


def test_what_is_held_is_in_the_guard_and_nothing_else_is() -> None:
    guard, held = overwhelmed(3, 9)
    assert held == [False, False, True, True]
    assert [f"c{n}" in guard for n in range(5)] == [False, False, True, True, False]
    assert len(guard) == 2
    assert guard.forget("c2") == decision(2, 0)
    assert "c2" not in guard
    assert guard.forget("c2") is None
    assert guard.forget("c0") is None
    assert len(guard) == 1


def test_a_hold_ends_at_its_time_and_the_next_is_paced() -> None:
    """Three may be closed in ten seconds: one each 3.333333 s."""
    guard, _ = overwhelmed(3, 9)
    guard.holds(decision(4, 0), 0, 9)
    assert guard.next_due == 7 * S
    assert guard.release(7 * S - 1) is None
    assert guard.release(7 * S) == decision(2, 0)
    pace = 10 * S // 3
    assert guard.next_due == 7 * S + pace
    assert guard.release(7 * S + pace - 1) is None
    assert guard.release(8 * S + pace) == decision(3, 0)
    assert guard.next_due == 8 * S + 2 * pace
    assert guard.forget("c4") == decision(4, 0)
    # Nothing is held: it is calm as soon as the window is no longer full.
    assert guard.release(20 * S) is None


def test_the_guard_is_calm_when_nothing_is_held_and_the_window_is_not_full() -> None:
    guard, _ = overwhelmed(3, 9)
    assert guard.holding
    assert not guard.calm(11 * S)  # two are held
    guard.forget("c2")
    guard.forget("c3")
    assert guard.next_due == 10 * S
    assert not guard.calm(10 * S - 1)
    assert guard.holding
    # The window is open at its beginning: what is exactly ten seconds old is out of it.
    assert guard.calm(10 * S)
    assert not guard.holding
    assert guard.next_due is None
    assert not guard.calm(10 * S)


def test_a_window_with_as_many_decisions_as_the_count_is_full() -> None:
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    for number, at in enumerate((0, 5 * S, 5 * S, 5 * S)):
        guard.holds(decision(number, at), at, 9)
    for number in range(4):
        guard.forget(f"c{number}")
    assert guard.next_due == 10 * S  # when the first one leaves the window
    assert not guard.calm(10 * S)
    assert guard.calm(15 * S)


def test_an_old_decision_is_not_counted() -> None:
    limits = Limits(window=10 * S, share=0.25, count=3, hold=7 * S)
    for third, held in ((10 * S - 1, True), (10 * S, False)):
        guard = Guard(limits)
        assert not guard.holds(decision(0, 0), 0, 9)
        assert not guard.holds(decision(1, 1), 1, 9)
        assert guard.holds(decision(2, third), third, 9) is held


def test_the_pace_is_that_of_the_share_where_it_allows_more() -> None:
    """A quarter of a hundred connections: 25 may be closed in ten seconds."""
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    held = [guard.holds(decision(n, 0), 0, 100 - n) for n in range(28)]
    assert held == [False] * 25 + [True] * 3
    guard.heard(0)
    guard.release(7 * S)
    assert guard.next_due == 7 * S + 10 * S // 25


def test_while_it_holds_every_further_close_is_held() -> None:
    """Also when the window has emptied: whoever is held must be saved, or have gone, first."""
    guard, _ = overwhelmed(3, 9)
    assert guard.holds(decision(9, 30 * S), 30 * S, 1_000)
    assert "c9" in guard


def silent(since: int = 0) -> Guard:
    """A guard that has held two closes, and heard nobody."""
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    for number in range(4):
        guard.holds(decision(number, since), since, 9)
    return guard


@pytest.mark.parametrize("since", [0, 500 * S])
def test_a_silent_network_is_waited_for_ten_times_the_hold_and_no_longer(since: int) -> None:
    guard = silent(since)
    assert guard.next_due == since + 7 * S  # to look for a sign of life
    assert guard.release(since + 7 * S) is None
    assert guard.release(since + 70 * S - 1) is None
    assert guard.release(since + 70 * S) == decision(2, since)
    paced = since + 70 * S + 10 * S // 3
    assert guard.next_due == paced
    assert guard.release(paced - 1) is None
    assert guard.release(paced) == decision(3, since)


def test_the_first_sign_of_life_counts_and_no_later_one() -> None:
    guard = silent()
    for second in (2, 5, 8):
        guard.heard(second * S)
        assert guard.next_due == 9 * S
    assert guard.release(9 * S) == decision(2, 0)


def test_a_sign_of_life_before_the_guard_holds_says_nothing() -> None:
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    guard.heard(0)
    for number in range(4):
        guard.holds(decision(number, S), S, 9)
    assert guard.release(8 * S) is None
    # Nor does the first sign of life of an earlier event.
    guard.heard(8 * S)
    while guard.holding:
        due = guard.next_due
        assert due is not None
        guard.release(due)
        guard.calm(due)
    for number in range(4):
        guard.holds(decision(number, 60 * S), 60 * S, 9)
    assert guard.release(67 * S) is None


def test_a_sign_of_life_is_looked_for_each_second_from_the_first_hold_on() -> None:
    guard = silent()
    looked = []
    for now in range(0, 12 * S, S // 4):
        due = guard.next_due
        assert due is not None
        if guard.listens(now):
            looked.append(now)
            assert due <= now
    assert looked == [second * S for second in range(7, 12)]
    assert guard.next_due == 12 * S
    guard.heard(12 * S)
    assert not guard.listens(13 * S)
    assert not Guard(Limits()).listens(100 * S)


def test_a_close_long_before_the_event_stands_alone() -> None:
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    assert not guard.holds(decision(9, 0), 0, 9)
    for number in range(4):
        guard.holds(decision(number, 20 * S), 20 * S, 9)
    assert guard.holding
    assert [guard.event_of(f"c{n}") for n in (9, 0, 2)] == [None, 1, 1]
    assert guard.event_of("c9") is None
