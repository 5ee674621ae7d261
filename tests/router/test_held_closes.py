"""R6b: a router with a guard holds the closes of many connections, and closes those that stay silent."""

from itertools import pairwise

import pytest

from shim.model import Stage, VerdictKind
from shim.router import Guard
from tests.router.helpers import CANDIDATE, CONTROL, Limits, S, World


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


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r6b_a_held_close_that_the_brake_forbids_when_its_turn_comes_is_the_controls_to_judge(
    stage: Stage,
) -> None:
    """The brake is engaged, and the handover has not come to the connection yet."""
    world = fleet(stage, 100, Limits())
    world.run_before(50)
    held = [name for name, port in world.ports.items() if not port.endings]
    world.message("c99")  # so that the first hold ends at 80 s
    world.router.restore_brake("it was engaged before")
    world.run(80)
    first = held[0]
    assert world.journal.stages == [(first, stage, Stage.SHADOW, 80 * S)]
    assert (world.tracked[first].stage, world.tracked[first].acting) == (Stage.SHADOW, CONTROL)
    assert CONTROL in world.watched_by(first)
    world.run(1000)
    assert not [tracked for tracked in world.router.connections() if tracked.closed_by is None]
    assert all(port.endings for port in world.ports.values())
    # The control, which knows of the silence since 0, closes at its next sweep.
    assert world.ports[first].endings == [(90 * S, "terminate")]
    acted = {
        d.connection_id for who, d, acts in world.journal.decisions if acts and who is CANDIDATE
    }
    assert not acted.intersection(held)


@pytest.mark.parametrize("hold", [5, 40])
def test_r6b_a_held_close_that_goes_on_leaves_no_connection_behind(hold: int) -> None:
    """Before its episode has a verdict (the control decides at 60 s), the connection is still watched."""
    world = fleet(Stage.LIVE, 30, Limits(count=5, hold=hold * S, window=5 * S))
    world.run_before(46)
    world.message("c29")
    world.run(500)
    last = {verdict.connection.id: verdict.kind for verdict in world.journal.verdicts}
    assert [*last.values()] == [VerdictKind.BOTH] * 30
    assert not list(world.router.connections())


def test_r6b_a_decision_that_the_brake_takes_back_comes_after_the_windows_that_ended_before() -> (
    None
):
    """The control decides at 60 s; the candidate is woken after the end of the window, at 66 s."""
    world = World(window=5 * S)
    world.open("c1", Stage.LIVE)
    world.router.restore_brake("it was engaged before")
    world.router.step_control(60 * S)
    world.router.step_candidate(66 * S)
    assert [(one.kind, one.at) for one in world.journal.verdicts] == [
        (VerdictKind.ONLY_CONTROL, 65 * S)
    ]
    assert world.journal.stages == [("c1", Stage.LIVE, Stage.SHADOW, 66 * S)]


def test_r6b_a_held_close_ends_with_a_move_and_the_candidate_decides_anew() -> None:
    """The decision that was held is told, and the holds that began after it end as they would have."""
    world = fleet(Stage.LIVE, 30, Limits(count=5))
    world.run_before(46)
    world.message("c29")  # the first hold ends at 76 s, and 6 s later the next
    world.run(50)
    world.stage("c4", Stage.COMPLETE)
    world.run(300)
    decided = [
        (one.at, acted) for _, one, acted in world.journal.decisions if one.connection_id == "c4"
    ]
    assert decided == [(45 * S, False), (50 * S, True)]
    ends = [world.ports[f"c{number}"].endings[0][0] for number in (5, 6, 28, 4)]
    assert ends == [76 * S, 82 * S, (76 + 23 * 6) * S, (76 + 24 * 6) * S]


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


def test_r6b_a_search_that_has_come_to_the_end_begins_again_and_looks_at_as_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ninth search of ten connections looks at the last two of 82, and at the first eight again."""
    monkeypatch.setattr("shim.router.decisions._SEARCHED", 10)
    # The connections that are left begin with `c19`.
    for alive, search in (("c26", 9), ("c27", 10)):
        world = fleet(Stage.COMPLETE, 100, Limits())
        world.open("late", Stage.COMPLETE, user="late", session="late")
        world.run_before(45)
        world.router.step(world.now)
        world.run_before(77)  # the first searches have not found the connection alive
        world.tracked[alive].last_activity = world.now
        world.run(1000)
        ends = sorted(port.endings[0][0] for name, port in world.ports.items() if name != "late")
        assert ends[19] == (74 + search + 30) * S


def test_r6b_a_shadows_connection_says_nothing_about_the_candidates() -> None:
    world = fleet(Stage.COMPLETE, 100, Limits())
    world.open("shadow", Stage.SHADOW, user="shadow", session="shadow")
    for second in range(10, 330, 10):
        world.run_before(second)
        world.message("shadow")
    assert sum(bool(port.endings) for port in world.ports.values()) == 19


def test_r6b_a_connection_that_was_closed_says_nothing_about_the_others() -> None:
    """The control has not decided yet, so that the closed connection is still there."""
    world = fleet(Stage.LIVE, 100, Limits(hold=5 * S))
    world.run_before(47)
    closed = [name for name, port in world.ports.items() if port.endings]
    world.message(closed[0])
    world.run_before(60)
    assert len(world.journal.proofs) == 1
    assert closed[0] in world.router
    assert sum(bool(port.endings) for port in world.ports.values()) == len(closed) == 19


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
