"""R4: a control or a sole monitor that fails is replaced, and no connection stays without a monitor."""

import pytest

from shim.model import Role, Stage, VerdictKind
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType, Runaway, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW])
@pytest.mark.parametrize("call", ["register", "pong", "wake", "paused"])
def test_r4_a_failing_control_is_replaced(stage: Stage, call: str) -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", stage)
    world.open("c2", stage, session="s2")
    world.run(20)
    world.message("c1")
    control.faults[call] = raises(ValueError("no"))
    control.left = 1
    if call == "register":
        world.open("c3", stage, session="s3")
    elif call == "pong":
        world.pong("c1")
    elif call == "paused":
        world.router.paused(world.now - 1, world.now)
    world.run(31)
    assert [f.role for f in world.journal.failures] == [CONTROL]
    assert world.orphans() == []
    assert world.journal.brakes == []
    silent_since = {id: world.tracked[id].last_activity for id in ("c1", "c2")}
    world.run(100)
    for id, since in silent_since.items():
        acted = [d for _, d, acts in world.journal.decisions if acts and d.connection_id == id]
        assert [d.at - d.silence for d in acted] == [since]
        assert 45 * S <= acted[0].silence <= 60 * S + 15 * S
        assert len(world.ports[id].endings) >= 1


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW])
@pytest.mark.parametrize(
    "call",
    [
        "register",
        "pong",
        "wake",
        "paused",
        "create",
        "next_wake",
    ],
)
def test_r4_a_control_that_always_fails_is_no_orphans_maker(stage: Stage, call: str) -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", stage)
    control.faults[call] = raises(ValueError("no"))
    if call == "create":
        control.faults["wake"] = raises(ValueError("no"))
    world.run(1)
    world.open("c2", stage, session="s2")
    world.pong("c1")
    world.router.paused(world.now - 1, world.now)
    for at in range(5, 40, 5):
        world.run(at)
        assert world.orphans() == []
    world.run(200)
    assert world.orphans() == []


@pytest.mark.parametrize("retired", [False, True])
def test_r4_a_sole_monitor_that_asks_for_the_past_does_not_stop_the_world(retired: bool) -> None:
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    world.open("c1", Stage.OFF)
    broken.faults["next_wake"] = answers(1)
    try:
        world.run(100)
    except Runaway:
        pytest.fail("an endless loop")


@pytest.mark.parametrize("acting", Role)
def test_r4_a_failed_registration_makes_no_orphans_of_the_others(acting: Role) -> None:
    broken = FaultyType(LegacyGlobal() if acting is CONTROL else None)
    world = World(control=broken) if acting is CONTROL else World(candidate=broken, retired=True)
    world.open("c1", Stage.OFF)
    broken.faults["next_wake"] = raises(ValueError("no"))
    broken.left = 1
    world.open("c2", Stage.OFF)
    assert world.unwatched() == []
    assert world.orphans() == []
    world.run(100)
    assert world.ports["c1"].endings
    assert world.ports["c2"].endings


def test_r4_a_connection_that_closed_while_nobody_was_able_to_watch_is_not_watched_later() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.close("c1")
    for type_ in (control, candidate):
        type_.faults.clear()
        type_.calls.clear()
    world.run(100)
    assert [type_.calls.count("register") for type_ in (control, candidate)] == [1, 1]
    assert [port.endings for port in world.ports.values()] == [[], [(60 * S, "terminate")]]


def test_r4_both_fail_and_the_caller_is_told_by_a_note_only() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.message("c1")
    world.run(100)
    assert any("c1" in text for _, text in world.journal.notes)
    for type_ in (control, candidate):
        type_.faults.clear()
    tracked = world.tracked["c1"]
    assert [tracked.instance(role) for role in Role] == [None, None]
    world.message("c1")  # the next sign of life tries again
    assert tracked.instance(CONTROL) is not None
    assert tracked.acting is CONTROL
    world.close("c1")


def test_r4_who_is_watched_by_nobody_is_tried_again_until_somebody_watches() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    for type_ in (control, candidate):
        type_.faults["register"] = raises(ValueError("no"))
    world.open("c1", Stage.SHADOW)
    world.run(20)  # many retries fail
    world.message("c1")
    assert world.watched_by("c1") == set()
    for type_ in (control, candidate):
        type_.faults.clear()
    world.run(21)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CONTROL
    assert CONTROL in world.watched_by("c1")


def test_r4_a_connection_that_was_closed_before_it_is_tried_again_is_not_watched() -> None:
    """Within the second until then the stage changes, and the candidate watches and decides."""
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    tracked = world.open("c1", Stage.OFF)
    world.run(44.5)
    for type_ in (control, candidate):
        type_.faults = {call: raises(ValueError("no")) for call in ("create", "paused")}
    world.router.paused(world.now, world.now)
    assert world.watched_by("c1") == set()
    candidate.faults.clear()
    world.stage("c1", Stage.LIVE)
    assert world.watched_by("c1") == {CANDIDATE}
    world.run(45)
    assert tracked.closed_by is CANDIDATE
    control.faults.clear()
    world.run(200)
    assert world.journal.decided_by(CONTROL) == []
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.at) == (VerdictKind.ONLY_CANDIDATE, (45 + 60) * S)


def test_r4_a_control_that_fails_when_tried_again_is_not_asked_while_the_candidate_watches() -> (
    None
):
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    tracked = world.open("c1", Stage.SHADOW)
    control.faults["pong"] = control.faults["register"] = raises(ValueError("no"))
    world.pong("c1")
    assert tracked.acting is CANDIDATE
    candidate.faults["pong"] = candidate.faults["register"] = raises(ValueError("no"))
    world.pong("c1")
    assert world.watched_by("c1") == set()
    candidate.faults.clear()
    world.run(1)
    assert (tracked.acting, world.watched_by("c1")) == (CANDIDATE, {CANDIDATE})
    control.calls.clear()
    world.run(10)
    assert "register" not in control.calls


@pytest.mark.parametrize(("failures", "acting"), [(2, CONTROL), (3, CANDIDATE)])
def test_r4_a_control_that_failed_twice_in_one_instant_is_tried_once_more(
    failures: int, acting: Role
) -> None:
    """Three failures in one instant are too many; in either case somebody watches at once."""
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", Stage.OFF)
    control.faults = {"wake": raises(ValueError("no")), "next_wake": raises(ValueError("no"))}
    control.left = failures
    world.run(15)
    calls = [failure.call for failure in world.journal.failures]
    assert calls[:failures] == ["wake", *["next_wake"] * (failures - 1)]
    assert world.journal.notes == []
    assert world.tracked["c1"].acting is acting
    assert acting in world.watched_by("c1")
    assert world.orphans() == []
    world.run(16)
    world.open("c2", Stage.OFF, session="s2")
    assert world.watched_by("c2") == {CONTROL}


def test_r4_where_the_control_fails_about_a_connection_the_candidate_acts_for_it_at_once() -> None:
    """The other monitor comes first, before a fresh instance of the control."""
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    tracked = world.open("c1", Stage.SHADOW)
    control.faults["pong"] = raises(ValueError("no"))
    control.left = 1
    world.pong("c1")
    assert tracked.acting is CANDIDATE
    assert world.watched_by("c1") == {CANDIDATE}
    world.run(100)
    assert [at for at, _ in world.ports["c1"].endings] == [45 * S] * 2


@pytest.mark.parametrize("retired", [False, True])
def test_r4_a_sole_monitor_that_failed_about_a_connection_watches_it_again_at_once(
    retired: bool,
) -> None:
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    world.open("c1", Stage.OFF)
    broken.faults["pong"] = raises(ValueError("no"))
    broken.left = 1
    world.pong("c1")
    assert len(world.journal.failures) == 1
    assert world.orphans() == []
    assert world.journal.notes == []
    assert world.journal.verdicts == []  # nothing is compared


def test_r4_a_control_that_fails_now_and_then_is_replaced_at_once_each_time() -> None:
    """Only failures in one instant add up."""
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    tracked = world.open("c1", Stage.OFF)
    control.faults["paused"] = raises(ValueError("no"))
    for minute in range(1, 6):
        world.run(minute)
        control.left = 1
        world.router.paused(world.now, world.now)
        assert (tracked.acting, world.watched_by("c1")) == (CONTROL, {CONTROL})
    assert len(control.made) == 6
