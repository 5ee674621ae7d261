"""R4: the other monitor acts at once for a monitor that failed."""

import pytest

from shim.model import Confirmation, Decision, Stage, Terminate
from shim_legacy_global import LegacyGlobal
from tests.router.contract_breaches import BAD, Bad
from tests.router.faulty_monitor import FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r4_no_socket_lingers_because_of_effects_that_are_gone_when_acted_on(stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage)
    candidate.faults["wake"] = lambda real: [
        Decision("c1", world.now, world.now, 0, (e for e in (Terminate(),)))  # type: ignore[arg-type]
    ]
    world.run(100)
    assert world.ports["c1"].endings


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.what != "far future"], ids=str)
def test_r4_the_control_takes_over_from_a_failing_acting_candidate(bad: Bad, stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage, user="u1", session="s1")
    world.open("c2", stage, user="u2", session="s2")
    world.run(20)
    world.message("c1")
    world.run(31)
    world.message("c2")
    candidate.faults[bad.call] = bad.fault
    if bad.call in ("create", "register"):
        world.open("c3", stage, user="u3", session="s3")
    elif bad.call == "pong":
        world.pong("c1")
        world.pong("c2")
    elif bad.call == "paused":
        world.router.paused(world.now - 1, world.now)
    elif bad.call == "unregister":
        world.open("c3", stage, user="u1", session="s1")
        world.close("c3")
    seen = {id: world.tracked[id].last_activity for id in ("c1", "c2")}
    failing_at = world.now
    world.run(60)
    assert world.orphans() == []
    if bad.call not in ("unregister", "confirmed"):
        assert world.journal.failures
        assert [engaged for engaged, _, _ in world.journal.brakes] == [True]
        assert failing_at <= world.journal.brakes[0][2] <= 60 * S
        assert {tracked.acting for tracked in world.router.connections()} == {CONTROL}
        assert {tracked.stage for tracked in world.router.connections()} == {Stage.SHADOW}
    world.run(200)
    for id in ("c1", "c2"):
        ended = world.ports[id].endings
        assert ended, f"nobody closed {id}"
        acted = [d for _, d, acts in world.journal.decisions if acts and d.connection_id == id]
        assert len(acted) == 1
        assert acted[0].at - acted[0].silence == seen[id]  # judged by the true last_seen
        assert acted[0].silence >= 45 * S
    assert world.orphans() == []


@pytest.mark.parametrize("stage", [Stage.LIVE, Stage.COMPLETE])
def test_r4_the_control_gets_the_true_last_seen(stage: Stage) -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", stage)
    world.open("c2", stage)
    world.run(40)
    world.message("c1")
    world.run(44)
    candidate.faults["wake"] = raises(ValueError("no"))
    world.run(59)
    assert world.journal.brakes
    assert world.tracked["c1"].acting is CONTROL
    world.run(60)
    assert world.ports["c2"].endings == [(60 * S, "terminate")]  # silent since 0
    world.run(89)
    assert world.ports["c1"].endings == []
    world.run(90)
    assert world.ports["c1"].endings == [(90 * S, "terminate")]  # silent since 40


def test_r4_one_failure_takes_everyone_back() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    stages = {"c1": Stage.LIVE, "c2": Stage.COMPLETE, "c3": Stage.SHADOW, "c4": Stage.OFF}
    for number, (id, stage) in enumerate(stages.items()):
        world.open(id, stage, user=f"u{number}", session=f"s{number}")
    candidate.faults["pong"] = raises(ValueError("no"))
    world.pong("c1")
    after = {id: world.tracked[id].stage for id in stages}
    assert after == {**dict.fromkeys(("c1", "c2", "c3"), Stage.SHADOW), "c4": Stage.OFF}
    assert {t.acting for t in world.router.connections()} == {CONTROL}
    assert world.watched_by("c1") == {CONTROL}  # the candidate is not asked about it again
    assert world.watched_by("c2") == {CONTROL, CANDIDATE}
    assert world.orphans() == []
    world.open("c5", Stage.COMPLETE)
    assert world.tracked["c5"].stage is Stage.SHADOW


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_r4_whichever_monitor_can_watch_again_acts_for_whom_nobody_watched(stage: Stage) -> None:
    """The other one of the stage, if it must be; then the other one closes a silent connection."""
    monitors = {CONTROL: FaultyType(LegacyGlobal()), CANDIDATE: FaultyType()}
    world = World(monitors[CONTROL], monitors[CANDIDATE])
    for monitor in monitors.values():
        monitor.faults["register"] = raises(ValueError("no"))
    world.open("c1", stage)
    world.run(3)
    assert world.watched_by("c1") == set()
    other = stage.acting.other
    monitors[other].faults.clear()
    world.run(5)
    assert world.watched_by("c1") == {other}
    assert world.tracked["c1"].acting is other
    world.run(100)
    assert len(world.ports["c1"].endings) == (1 if other is CONTROL else 2)


def test_r22_a_decision_on_a_closed_connection_is_nothing_that_the_brake_takes_back() -> None:
    """The control took over, and closed; the brake has not come to the connection yet."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.LIVE)
    world.router.restore_brake("it was engaged before")
    candidate.faults["wake"] = answers([42])
    candidate.left = 1
    world.run(16)
    assert world.tracked["c1"].acting is CONTROL
    world.data("c1")  # the candidate waits until 61; the control decides at 60
    world.run(300)
    assert world.ports["c1"].endings == [(60 * S, "terminate")]
    assert world.journal.stages == []
    assert [(one.kind, one.at) for one in world.journal.verdicts] == [("only_control", 120 * S)]


def test_r4_at_off_the_candidate_acts_where_no_control_can_be_had() -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control)
    world.open("c1", Stage.OFF)
    control.faults["register"] = raises(ValueError("no"))
    control.faults["wake"] = raises(ValueError("no"))
    control.left = 2
    world.run(16)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CANDIDATE
    world.run(100)
    assert world.ports["c1"].endings


def test_r4_at_off_the_control_acts_again_once_it_can_be_had() -> None:
    """The candidate, which acted in its place, failed as well: nobody watched."""
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    tracked = world.open("c1", Stage.OFF)
    for call in ("register", "wake"):
        control.faults[call] = raises(ValueError("no"))
    world.run(16)
    assert tracked.acting is CANDIDATE
    for call in ("register", "wake"):
        candidate.faults[call] = raises(ValueError("no"))
    world.run(32)
    assert world.watched_by("c1") == set()
    control.faults.clear()
    world.run(34)
    assert world.watched_by("c1") == {CONTROL}
    assert tracked.acting is CONTROL
    assert world.orphans() == []


def test_r4_a_candidate_that_is_quarantined_takes_nothing_over() -> None:
    """The control fails, and can watch no more; each failure is told once, and no other one is."""
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["paused"] = raises(ValueError("no"))
    for _ in range(3):
        world.router.paused(world.now, world.now + 1)
    assert world.watched_by("c1") == {CONTROL}
    world.journal.failures.clear()
    for call in ("pong", "register"):
        control.faults[call] = raises(ValueError("no"))
    world.pong("c1")
    failures = [(failure.role, failure.call) for failure in world.journal.failures]
    assert failures == [(CONTROL, "pong"), (CONTROL, "register")]
    assert [text for _, text in world.journal.notes] == ["no monitor is able to watch c1"]


def test_r11_a_takeover_by_the_other_monitor_ends_an_open_episode() -> None:
    """The brake, which was engaged before, has not come to the connection yet."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.LIVE)
    world.router.restore_brake("it was engaged before")
    world.run(16)
    world.data("c1")  # the candidate, which acts, waits until 61; the control decides at 60
    world.run(60)
    candidate.faults["paused"] = raises(ValueError("no"))
    world.router.paused(world.now, world.now + 1)
    assert world.tracked["c1"].acting is CONTROL
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.first, verdict.at) == ("handover", CONTROL, 60 * S + 1)


@pytest.mark.parametrize("at_once", [True, False])
def test_r11_a_takeover_by_a_fresh_instance_of_the_same_plugin_ends_no_episode(
    at_once: bool,
) -> None:
    """The candidate has decided; a fresh control goes on, and decides at its own first sweep.

    Also where nobody was able to watch at first.
    """
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    world.open("c1", Stage.SHADOW)
    world.run(50)
    control.faults["paused"] = raises(ValueError("no"))
    control.left = 1
    if not at_once:
        control.faults["create"] = candidate.faults["register"] = raises(ValueError("no"))
        control.left, candidate.left = 2, 1
    world.router.paused(world.now, world.now + 1)
    assert CONTROL in world.watched_by("c1")
    assert bool(world.journal.notes) is not at_once
    world.run(64)
    assert world.journal.verdicts == []
    world.run(66)
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.first, verdict.at) == ("skewed", CANDIDATE, 65 * S + 1)


def test_r11_an_episode_ends_when_the_monitor_of_the_stage_acts_again() -> None:
    """The control has decided, and the candidate, which acted in its place, fails.

    Then nobody is able to watch; in the same instant both are again, and a second later the control acts.
    """
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    tracked = world.open("c1", Stage.SHADOW)
    control.faults["paused"] = raises(ValueError("no"))
    control.left = 1
    world.router.paused(world.now, world.now)
    assert (tracked.acting, world.watched_by("c1")) == (CANDIDATE, {CONTROL, CANDIDATE})
    world.ports["c1"].evidence = Confirmation(unread=True)  # the candidate waits
    world.run(60)
    no = raises(ValueError("no"))
    control.faults, candidate.faults = {"register": no}, {"paused": no, "register": no}
    control.left, candidate.left = 1, 3  # the fresh candidate is told of the pause, too
    world.router.paused(world.now, world.now)
    assert (tracked.acting, world.journal.verdicts) == (CANDIDATE, [])
    world.run(62)
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.first, verdict.at) == ("handover", CONTROL, 61 * S)
    assert tracked.acting is CONTROL


def test_r4_where_the_control_cannot_take_over_the_candidate_gets_a_fresh_instance() -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    world.open("c1", Stage.COMPLETE)
    control.faults["register"] = raises(ValueError("no"))
    candidate.faults["wake"] = raises(ValueError("no"))
    candidate.left = 1
    world.run(16)
    assert world.orphans() == []
    assert world.tracked["c1"].acting is CANDIDATE
    assert len(candidate.made) == 2
    assert [text for _, text in world.journal.notes if "no monitor" in text] == []
    world.run(100)
    assert world.ports["c1"].endings
