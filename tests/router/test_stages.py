"""R21, R4, R11: a changed stage reaches open connections; roles swap, nobody is left alone."""

from itertools import pairwise, product

import pytest

from shim.model import Return, Role, Stage, VerdictKind, VerdictName
from shim_per_session import PerSession
from tests.router.faulty_monitor import FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World

WATCHING = {
    Stage.OFF: {CONTROL},
    Stage.SHADOW: {CONTROL, CANDIDATE},
    Stage.LIVE: {CONTROL, CANDIDATE},
    Stage.COMPLETE: {CANDIDATE},
}
TERMINATED_AT_60 = (60 * S, "terminate")


@pytest.mark.parametrize("stage", Stage)
def test_r4_who_watches_and_who_acts(stage: Stage) -> None:
    world = World()
    tracked = world.open("c1", stage)
    assert world.watched_by("c1") == WATCHING[stage]
    assert tracked.acting is (CANDIDATE if stage >= Stage.LIVE else CONTROL)
    assert world.orphans() == []


@pytest.mark.parametrize(("before", "after"), list(product(Stage, Stage)))
def test_r21_the_true_last_seen_is_carried_over(before: Stage, after: Stage) -> None:
    world = World()
    tracked = world.open("c1", before)
    world.run(10)
    world.message("c1")
    world.run(32)
    world.stage("c1", after)
    assert tracked.stage is after
    assert tracked.acting is after.acting
    assert world.watched_by("c1") == WATCHING[after]
    assert world.orphans() == []
    changed = [] if before is after else [("c1", before, after, 32 * S)]
    assert world.journal.stages == changed
    pulses = {CONTROL: tracked.control, CANDIDATE: tracked.candidate}
    assert {pulses[role].last_seen for role in WATCHING[after]} == {10 * S}
    world.run(55 - 0.000001)
    assert world.ports["c1"].endings == []  # and nobody was disconnected by it
    world.run(60)
    assert world.ports["c1"].endings[0][0] == (55 * S if after.acting is CANDIDATE else 60 * S)
    assert {d.at for d in world.journal.decided_by(CANDIDATE)} <= {55 * S}
    assert {d.at for d in world.journal.decided_by(CONTROL)} <= {60 * S}


@pytest.mark.parametrize(("before", "after"), list(product(Stage, Stage)))
def test_r21_signs_of_life_reach_the_monitors_of_the_new_stage(before: Stage, after: Stage) -> None:
    world = World()
    world.open("c1", before)
    touch = world.touch["c1"]
    world.run(10)
    world.stage("c1", after)
    world.run(40)
    touch()
    world.run(84)
    assert world.journal.decisions == []
    world.run(200)
    assert len(world.ports["c1"].endings) >= 1


@pytest.mark.parametrize(
    ("before", "after"),
    [(b, a) for b, a in product((Stage.SHADOW, Stage.LIVE), Stage) if b is not a],
)
def test_r11_a_handover_ends_an_open_episode_inconclusive(before: Stage, after: Stage) -> None:
    world = World()
    if before is Stage.LIVE:
        world.open("c1", before)
        world.run(16)
        world.data("c1")  # the candidate, which acts, waits until 61; the control decides at 60
        world.run(60)
        first = CONTROL
    else:
        world.open("c1", before)
        world.run(50)
        first = CANDIDATE
    assert world.ports["c1"].endings == []
    world.stage("c1", after)
    (verdict,) = world.journal.verdicts
    assert (verdict.name, verdict.kind) == (VerdictName.INCONCLUSIVE, VerdictKind.HANDOVER)
    assert (verdict.at, verdict.first) == (world.now, first)
    assert world.orphans() == []
    world.run(300)
    assert len(world.journal.verdicts) == 1  # the rest is late (R7) ...
    assert len([acted for _, _, acted in world.journal.decisions if acted]) == 1  # ... and acted on
    assert world.ports["c1"].endings


def test_r7_a_decision_after_the_handover_is_late_and_acted_on() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(50)
    world.stage("c1", Stage.LIVE)
    world.run(50)  # the candidate is told the true last_seen, and that is over
    assert [late.role for late in world.journal.lates] == [CANDIDATE]
    assert world.ports["c1"].endings[0][0] == 50 * S
    assert list(world.router.connections()) == []


def test_r10_a_window_that_ended_before_the_handover_is_over() -> None:
    world = World(window=10 * S)
    world.open("c1", Stage.SHADOW)
    world.run(54)
    world.now = 58 * S  # the driver is late
    world.stage("c1", Stage.LIVE)
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.at) == (VerdictKind.ONLY_CANDIDATE, 55 * S)


def test_r21_the_old_monitor_lets_go() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.stage("c1", Stage.COMPLETE)
    world.run(300)
    assert world.journal.decided_by(CONTROL) == []
    world.open("c2", Stage.SHADOW)
    world.stage("c2", Stage.OFF)
    world.run(600)
    assert [d.connection_id for d in world.journal.decided_by(CANDIDATE)] == ["c1"]


def test_r21_roles_swap_there_and_back() -> None:
    world = World()
    tracked = world.open("c1", Stage.OFF)
    way = [Stage.OFF, Stage.SHADOW, Stage.LIVE, Stage.COMPLETE, Stage.LIVE, Stage.SHADOW, Stage.OFF]
    for number, (before, after) in enumerate(pairwise(way), start=1):
        world.run(number * 6)
        world.stage("c1", after)
        assert (tracked.acting, world.watched_by("c1")) == (after.acting, WATCHING[after])
        assert world.journal.stages[-1] == ("c1", before, after, number * 6 * S)
    world.run(60)
    assert world.ports["c1"].endings == [TERMINATED_AT_60]


def test_r6_the_pings_change_with_the_roles() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(20)
    world.stage("c1", Stage.LIVE)
    world.run(40)
    sizes = [(at, len(effect)) for at, effect in world.ports["c1"].effects]
    assert {size for at, size in sizes if at <= 20 * S} == {0}
    assert {size for at, size in sizes if at > 20 * S} == {8}


def test_r21_a_closed_connection_keeps_its_stage() -> None:
    world = World()
    tracked = world.open("c1", Stage.LIVE)
    world.run(45)
    world.stage("c1", Stage.OFF)
    assert (tracked.stage, world.journal.stages) == (Stage.LIVE, [])
    world.run(60)
    assert [v.name for v in world.journal.verdicts] == [VerdictName.MATCHED]


def test_r22_the_brake_takes_everyone_to_shadow_and_keeps_them_there() -> None:
    world = World()
    for number, stage in enumerate(Stage):
        world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
    world.run(20)
    world.message("c3")
    world.router.engage_brake("by hand", world.now)
    world.router.engage_brake("again", world.now)
    world.reassess()
    assert world.journal.brakes == [(True, "by hand", 20 * S)]
    assert [world.tracked[f"c{n}"].stage for n in range(4)] == [
        Stage.OFF,
        Stage.SHADOW,
        Stage.SHADOW,
        Stage.SHADOW,
    ]
    assert {t.acting for t in world.router.connections()} == {CONTROL}
    assert world.orphans() == []
    world.stage("c1", Stage.COMPLETE)
    assert world.tracked["c1"].stage is Stage.SHADOW
    world.run(60)
    assert [bool(world.ports[f"c{n}"].endings) for n in range(4)] == [True, True, True, False]
    world.run(75)
    assert world.ports["c3"].endings == [(75 * S, "terminate")]


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r22_from_the_brake_on_the_candidate_closes_nobody(stage: Stage) -> None:
    """Not even those whom the handover has not reached yet."""
    world = World()
    tracked = world.open("c1", stage)
    world.run(20)
    world.router.engage_brake("by hand", world.now)
    world.run(59)
    assert world.ports["c1"].endings == []
    assert (tracked.stage, tracked.acting, world.orphans()) == (Stage.SHADOW, CONTROL, [])
    world.run(60)
    assert world.ports["c1"].endings == [TERMINATED_AT_60]
    matched = [(v.control_at, v.candidate_at, v.acting) for v in world.journal.verdicts]
    assert matched == [(60 * S, 45 * S, CONTROL)]


def test_r22_a_released_brake_lets_everyone_go_where_the_flags_say() -> None:
    world = World()
    tracked = world.open("c1", Stage.LIVE)
    assert world.router.brake_reason is None
    world.router.engage_brake("by hand", world.now)
    world.reassess()
    assert world.router.brake_reason == "by hand"
    world.router.release_brake("it was the network", world.now)
    assert world.router.brake_reason is None
    assert [engaged for engaged, _, _ in world.journal.brakes] == [True, False]
    world.stage("c1", Stage.LIVE)
    assert tracked.acting is CANDIDATE
    world.router.release_brake("again", world.now)
    assert len(world.journal.brakes) == 2


@pytest.mark.parametrize("stage", Stage)
def test_r4_retired_the_candidate_is_alone_at_every_stage(stage: Stage) -> None:
    world = World(retired=True)
    tracked = world.open("c1", stage)
    world.stage("c1", Stage.SHADOW)
    assert (tracked.stage, tracked.acting) == (Stage.COMPLETE, CANDIDATE)
    assert world.router.monitors(Role.CONTROL) is None
    world.run(60)
    assert world.ports["c1"].endings[0][0] == 45 * S
    assert world.journal.verdicts == []


def test_r11_a_close_by_the_peer_and_a_shutdown() -> None:
    world = World(candidate=PerSession())
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.run(50)
    world.close("c1")
    world.router.shutdown(world.now)
    assert [(v.connection.id, v.kind) for v in world.journal.verdicts] == [
        ("c1", VerdictKind.CLOSED),
        ("c2", VerdictKind.SHUTDOWN),
    ]


def test_r15_what_nobody_knows_yet_at_a_shutdown_is_censored() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(46)
    world.router.shutdown(world.now)
    assert [(o.connection.id, o.result) for o in world.journal.outcomes] == [
        ("c1", Return.CENSORED)
    ]


def test_r7_a_connection_id_that_is_used_again_has_silences_of_its_own() -> None:
    world = World()
    for round in (1, 2):
        world.open("c1", Stage.SHADOW)
        world.run(round * 75)
    assert [verdict.kind for verdict in world.journal.verdicts] == [VerdictKind.BOTH] * 2
    assert world.journal.lates == []


def test_r11_what_a_closed_connection_still_says_is_no_reason_to_watch_it_again() -> None:
    """The application closes in an open episode, and the client talks until its transport is gone."""
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(50)
    world.close("c1")
    world.message("c1")
    assert world.watched_by("c1") == set()
    world.run(200)
    assert world.journal.failures == []


@pytest.mark.parametrize("before", [Stage.OFF, Stage.SHADOW])
def test_r3_r21_a_pause_before_the_handover_is_no_silence_either(before: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", before)
    world.run(44)
    world.message("c1")
    world.run(45)
    world.pause(40)  # no tick of the control finds it silent for more than 45 s
    world.run(86)
    if before is Stage.SHADOW:
        candidate.faults["paused"] = raises(ValueError("no"))
        candidate.left = 1  # the fresh instance is told of all pauses
        world.router.paused(world.now - 1, world.now)
        candidate.faults.clear()
    world.stage("c1", Stage.LIVE)
    world.run(128)
    assert world.ports["c1"].endings == []
    world.run(129)
    assert world.ports["c1"].endings


def test_r3_r21_a_pause_is_told_to_a_monitor_once() -> None:
    """The session's monitor begins as the pause ends; then it gets a connection that was silent before."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.OFF)
    world.run(10)
    world.pause(20)
    world.open("c2", Stage.SHADOW)
    world.stage("c1", Stage.SHADOW)
    assert candidate.calls.count("paused") == 1


def test_r3_a_monitor_is_asked_after_a_pause_when_it_wants_to_be_woken() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate, retired=True)
    world.open("c1", Stage.COMPLETE)
    candidate.faults["next_wake"] = answers(100 * S)
    world.router.paused(0, 7 * S)
    assert world.router.next_wake == 100 * S


def test_r22_a_decision_before_the_brake_has_come_to_the_connection_is_the_shadows() -> None:
    """After a restart the brake is engaged before anybody is moved."""
    world = World()
    world.open("c1", Stage.LIVE)
    world.router.restore_brake("as it was left")
    world.run(45)
    tracked = world.tracked["c1"]
    assert (tracked.stage, tracked.acting) == (Stage.SHADOW, CONTROL)
    assert world.ports["c1"].endings == []
    world.run(60)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]
    assert [(role, acted) for role, _, acted in world.journal.decisions] == [
        (CANDIDATE, False),
        (CONTROL, True),
    ]
    assert [verdict.kind for verdict in world.journal.verdicts] == [VerdictKind.BOTH]
