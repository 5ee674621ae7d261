"""The guard: mass closing by the acting candidate is held, saved from, paced (R6b)."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.model import Decision, Stage, Terminate, VerdictKind
from shim.router import Guard
from tests.router.helpers import CANDIDATE, CONTROL, Limits, S, World


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


def fleet(stage: Stage, size: int, limits: Limits) -> World:
    world = World(guard=Guard(limits))
    for number in range(size):
        world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
    return world


def test_r6b_a_cut_of_the_servers_network_closes_those_alone_who_do_not_come_back() -> None:
    for stage in (Stage.LIVE, Stage.COMPLETE):
        world = fleet(stage, 100, Limits())
        world.run_before(45)
        world.router.step(world.now)
        closed = [name for name, port in world.ports.items() if port.endings]
        assert len(closed) == 19
        assert world.journal.guards == [(True, 81, 45 * S)]
        held = [name for name in world.ports if name not in closed]
        assert all(world.ports[name].effects[-1] == (45 * S, b"guard") for name in held)
        world.run_before(70)
        for name in held[:40]:
            world.pong(name, b"guard")
        assert all(world.watched_by(name) >= {CANDIDATE} for name in held[:40])
        world.run_before(74)
        assert not [name for name in held if world.ports[name].endings]
        for second in range(80, 400, 10):
            world.run(second)
            for name in held[:40]:
                world.message(name)
        assert not [name for name in held[:40] if world.ports[name].endings]
        ends = sorted(world.ports[name].endings[0][0] for name in held[40:])
        # The first sign of life after the cut came at 70 s: from then on a hold lasts 30 s.
        assert ends[0] == 100 * S
        paces = [later - earlier for earlier, later in pairwise(ends)]
        assert min(paces) >= 30 * S // 20
        assert world.journal.guards[-1][0] is False
        acted = [acted for role, _, acted in world.journal.decisions if role is CANDIDATE]
        assert (acted.count(True), acted.count(False)) == (60, 40)


def test_r6b_few_decisions_or_a_small_share_are_not_held() -> None:
    world = fleet(Stage.COMPLETE, 19, Limits())
    world.run(45)
    assert all(port.endings for port in world.ports.values())
    large = fleet(Stage.COMPLETE, 400, Limits())
    large.run(30)
    for number in range(40, 400):
        large.message(f"c{number}")
    large.run(46)
    assert all(large.ports[f"c{number}"].endings for number in range(40))
    assert not world.journal.guards + large.journal.guards


def test_r6b_the_shadow_is_not_held() -> None:
    world = fleet(Stage.SHADOW, 100, Limits())
    world.run(60)
    assert all(port.endings == [(60 * S, "terminate")] for port in world.ports.values())
    assert not world.journal.guards


def test_r6b_the_share_is_one_of_the_connections_that_the_candidate_acts_for_now() -> None:
    """Also after moves: of 40 connections 35 are moved to `live`, and five of them back."""
    world = fleet(Stage.SHADOW, 40, Limits(count=5))
    for number in range(35):
        world.stage(f"c{number}", Stage.LIVE)
    for number in range(30, 35):
        world.stage(f"c{number}", Stage.SHADOW)
    world.run_before(45)
    world.router.step(world.now)
    # Four are closed before the fifth is held.
    assert world.journal.guards == [(True, 26, 45 * S)]


@pytest.mark.parametrize("holding", [False, True])
def test_r6b_an_episode_of_which_nothing_is_held_is_judged_as_ever(holding: bool) -> None:
    """Also while the closes of others are held."""
    world = fleet(Stage.LIVE, 100 if holding else 1, Limits())
    world.open("shadow", Stage.SHADOW, user="shadow", session="shadow")
    world.run_before(50)
    assert world.router.guard is not None
    assert world.router.guard.holding is holding
    world.message("shadow")
    (verdict,) = world.journal.verdicts
    assert (verdict.connection.id, verdict.kind) == ("shadow", VerdictKind.ONLY_CANDIDATE)
    assert verdict.recovered
    # The shadow's sign of life says nothing about the connections that the candidate acts for.
    world.run_before(60)
    assert sum(bool(port.endings) for port in world.ports.values()) == (19 if holding else 1)


def test_r6b_what_is_held_is_the_controls_once_the_brake_is_engaged() -> None:
    world = fleet(Stage.LIVE, 100, Limits())
    world.run(50)
    held = [name for name, port in world.ports.items() if not port.endings]
    assert len(held) == 81
    world.router.engage_brake("by hand", world.now)
    world.reassess()
    assert len(world.router.guard or ()) == 0
    assert {world.tracked[name].acting for name in held} == {CONTROL}
    world.run(60)
    assert all(world.ports[name].endings == [(60 * S, "terminate")] for name in held)


def test_r6b_a_held_connection_that_leaves_is_forgotten() -> None:
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.run(50)
    held = [name for name, port in world.ports.items() if not port.endings]
    for name in held:
        world.close(name)
    world.run(500)
    assert not [name for name in held if world.ports[name].endings]
    assert world.router.guard is not None
    assert not world.router.guard.holding


# -- The borders -------------------------------------------------------------------------------


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


# -- A silent network ------------------------------------------------------------------------------


def test_r6b_an_episode_whose_held_close_is_saved_is_inconclusive() -> None:
    """The control has not decided yet: nobody knows which monitor was right."""
    world = fleet(Stage.LIVE, 100, Limits())
    world.run_before(50)
    held = [name for name, port in world.ports.items() if not port.endings]
    for name in held:
        world.pong(name, b"guard")
    kinds = {verdict.connection.id: verdict.kind for verdict in world.journal.verdicts}
    assert {kinds[name] for name in held} == {VerdictKind.HELD}
    world.run_before(94)
    assert all(kind is VerdictKind.HELD for kind in kinds.values())


def test_r6b_nothing_is_closed_while_the_network_is_silent() -> None:
    """Everybody is silent: nobody knows that the network is back, for ten times the hold at most."""
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.run_before(45 + 10 * 30)
    assert sum(bool(port.endings) for port in world.ports.values()) == 19
    world.run(1000)
    ends = sorted(port.endings[0][0] for port in world.ports.values())
    assert ends[19] == (45 + 300) * S
    assert len(ends) == 100


def silent() -> Guard:
    """A guard that has held two closes since 0, and heard nobody."""
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    for number in range(4):
        guard.holds(decision(number, 0), 0, 9)
    return guard


def test_a_silent_network_is_waited_for_ten_times_the_hold_and_no_longer() -> None:
    guard = silent()
    assert guard.next_due == 7 * S  # to look for a sign of life
    assert guard.release(7 * S) is None
    assert guard.release(70 * S - 1) is None
    assert guard.release(70 * S) == decision(2, 0)


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


def test_r6b_any_connection_of_the_candidates_says_that_the_network_is_back() -> None:
    """One that is not held answers at 200 s; the hold of the others ends 30 s later."""
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.run_before(45)
    world.message("c99")
    world.run_before(200)
    closed = sum(bool(port.endings) for port in world.ports.values())
    assert closed == 19
    world.open("late", Stage.COMPLETE, user="late", session="late")
    world.run(1000)
    ends = sorted(port.endings[0][0] for name, port in world.ports.items() if name != "late")
    assert 230 * S <= ends[19] <= 232 * S


@pytest.mark.parametrize(("at_least", "searches"), [(10, 30), (1, 8)])
def test_r6b_of_very_many_connections_a_part_is_looked_at_each_second_and_then_the_next(
    at_least: int, searches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that looks at ten of 82 connections: within nine seconds each of them is looked at once."""
    monkeypatch.setattr("shim.router.decisions._SEARCHED", at_least)
    monkeypatch.setattr("shim.router.decisions._SEARCHES", searches)
    for alive, found in (("c19", 0), ("c39", 2), ("c99", 8)):
        world = fleet(Stage.COMPLETE, 100, Limits())
        world.open("late", Stage.COMPLETE, user="late", session="late")
        world.run_before(45)
        world.router.step(world.now)
        # The first search comes 30 s after the guard began to hold, and the first 19 are closed.
        world.run_before(74)
        world.tracked[alive].last_activity = world.now
        world.run(1000)
        ends = sorted(port.endings[0][0] for name, port in world.ports.items() if name != "late")
        assert ends[19] == (75 + found + 30) * S


def test_r6b_a_shadows_connection_says_nothing_about_the_candidates() -> None:
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.open("shadow", Stage.SHADOW, user="shadow", session="shadow")
    for second in range(10, 330, 10):
        world.run_before(second)
        world.message("shadow")
    assert sum(bool(port.endings) for port in world.ports.values()) == 19


def test_r6b_the_closes_of_one_event_are_one_proof_of_life() -> None:
    """Those that made the guard hold, and those that it let go on."""
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.run_before(45)
    world.router.step(world.now)
    early = [name for name, port in world.ports.items() if port.endings]
    world.run_before(50)
    world.message("c99")
    world.run(1000)
    for name in (early[0], "c98"):
        world.message(name)
    assert world.journal.guard_events == [1, 1]


def test_a_close_long_before_the_event_stands_alone() -> None:
    guard = Guard(Limits(window=10 * S, share=0.25, count=3, hold=7 * S))
    assert not guard.holds(decision(9, 0), 0, 9)
    for number in range(4):
        guard.holds(decision(number, 20 * S), 20 * S, 9)
    assert guard.holding
    assert [guard.event_of(f"c{n}") for n in (9, 0, 2)] == [None, 1, 1]
    assert guard.event_of("c9") is None
