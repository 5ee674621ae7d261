"""R6: no effect of a shadow reaches a socket, and it sees all that the acting monitor sees."""

import pytest

from shim.model import Close, Confirmation, Forget, Kind, Pulse, Stage, VerdictKind, VerdictName
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType
from tests.router.helpers import CANDIDATE, CONTROL, S, World

CLOSED = (Close(1001, "Connection timeout detected", 5 * S), "forget")


def test_r6_in_shadow_the_candidates_pings_and_closes_are_recorded_only() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(300)
    assert {effect for _, effect in world.ports["c1"].effects} == {b"", "terminate"}
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert monitors.pings[Kind.APP] >= 3
    assert [d.at for d in world.journal.decided_by(CANDIDATE)] == [45 * S]
    assert [(r, acted) for r, _, acted in world.journal.decisions] == [
        (CANDIDATE, False),
        (CONTROL, True),
    ]


def test_r6_in_live_the_controls_pings_and_terminations_are_recorded_only() -> None:
    world = World()
    world.open("c1", Stage.LIVE)
    world.run(300)
    effects = [effect for _, effect in world.ports["c1"].effects]
    assert effects[-2:] == list(CLOSED)
    assert all(isinstance(e, bytes) and len(e) == 8 for e in effects[:-2])  # the candidate's own
    assert world.ports["c1"].endings == [(45 * S, effect) for effect in CLOSED]
    monitors = world.router.monitors(CONTROL)
    assert monitors is not None
    assert monitors.pings[Kind.APP] >= 3
    assert [(d.at, d.effects) for d in world.journal.decided_by(CANDIDATE)] == [
        (45 * S, (CLOSED[0], Forget()))
    ]


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.COMPLETE])
def test_r6_alone_there_is_no_shadow_at_all(stage: Stage) -> None:
    control, candidate = FaultyType(LegacyGlobal()), FaultyType()
    world = World(control, candidate)
    world.open("c1", stage)
    world.run(300)
    assert (candidate.made == []) is (stage is Stage.OFF)
    assert "register" not in (control if stage is Stage.COMPLETE else candidate).calls
    assert world.journal.verdicts == []
    assert len([acted for _, _, acted in world.journal.decisions if acted]) == 1


def test_r6_no_pong_after_the_close_reaches_the_shadow() -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control)
    world.open("c1", Stage.LIVE)
    world.pong("c1")
    world.run(46)
    assert world.watched_by("c1") == {CONTROL}
    world.pong("c1")
    assert control.calls.count("pong") == 1


def test_r6_nobody_acts_in_a_replay_without_acting_monitor() -> None:
    world = World()
    world.open("c1", Stage.SHADOW, act=False)
    world.run(300)
    assert world.ports["c1"].effects == []
    assert [acted for _, _, acted in world.journal.decisions] == [False, False]
    assert world.journal.outcomes == []


def test_r6_confirm_only_reads_and_is_answered() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(30)
    world.ports["c1"].evidence = Confirmation(data_at=20 * S)
    world.run(60)
    assert world.ports["c1"].asked == 1
    assert world.journal.decided_by(CANDIDATE) == []
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r6_after_the_close_nothing_is_known_of_the_socket() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(30)
    world.data("c1")  # so the control decides first, at 60, and the candidate at 75
    world.run(61)
    world.ports["c1"].evidence = Confirmation(data_at=61 * S, unread=True)
    world.run(75)
    assert world.ports["c1"].asked == 0
    assert [d.at for d in world.journal.decided_by(CANDIDATE)] == [75 * S]


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_r6_the_shadow_sees_every_sign_of_life(stage: Stage) -> None:
    world = World()
    tracked = world.open("c1", stage)
    world.run(20)
    world.message("c1")
    assert tracked.control.last_seen == tracked.candidate.last_seen == 20 * S
    world.run(40)
    world.pong("c1", b"12345678")
    assert tracked.control.last_seen == tracked.candidate.last_seen == 40 * S
    assert tracked.last_activity == 40 * S
    world.data("c1")
    assert tracked.control.last_data == tracked.candidate.last_data == 40 * S
    world.run(84)
    assert world.journal.decisions == []


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE])
def test_r6_pongs_reach_both_monitors(stage: Stage) -> None:
    control, candidate = FaultyType(), FaultyType()
    world = World(control, candidate)
    world.open("c1", stage)
    world.pong("c1", b"12345678")
    assert control.calls.count("pong") == candidate.calls.count("pong") == 1


def test_r6_the_shadow_believes_the_connection_open_until_it_has_decided() -> None:
    world = World()
    tracked = world.open("c1", Stage.LIVE)
    world.run(45)
    assert tracked.closed_by is CANDIDATE
    assert world.watched_by("c1") == {CONTROL}
    assert "c1" in {t.connection.id for t in world.router.connections()}
    world.router.close(tracked, world.now)  # the transport is gone; that is the closing's own end
    world.run(60)
    (verdict,) = world.journal.verdicts
    assert (verdict.name, verdict.control_at) == (VerdictName.MATCHED, 60 * S)
    assert list(world.router.connections()) == []
    assert world.watched_by("c1") == set()


def test_r6_or_until_the_episode_has_ended() -> None:
    world = World(window=10 * S)
    world.open("c1", Stage.LIVE)
    world.run(54)
    assert world.watched_by("c1") == {CONTROL}
    world.run(55)
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.at, verdict.recovered) == (
        VerdictKind.ONLY_CANDIDATE,
        55 * S,
        False,
    )
    assert list(world.router.connections()) == []
    world.run(100)
    assert world.journal.decided_by(CONTROL) == []


def test_r6_nothing_reaches_a_closed_connection() -> None:
    world = World()
    tracked = world.open("c1", Stage.LIVE)
    world.run(45)
    ended = list(world.ports["c1"].effects)
    world.run(50)
    pulse: Pulse = tracked.control
    world.message("c1")
    world.pong("c1", b"12345678")
    world.stage("c1", Stage.SHADOW)
    assert tracked.stage is Stage.LIVE
    world.run(300)
    assert world.ports["c1"].effects == ended
    assert pulse is tracked.control or world.watched_by("c1") == set()
    assert world.journal.proofs == [("c1", CANDIDATE, 50 * S)]  # R14b: once a connection
    (verdict,) = world.journal.verdicts
    assert (verdict.name, verdict.control_at) == (VerdictName.MATCHED, 60 * S)


def test_r6_a_shadow_that_was_proved_wrong_watches_again_and_touches_nothing() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(50)
    assert world.watched_by("c1") == {CONTROL}
    world.message("c1")
    (verdict,) = world.journal.verdicts
    assert (verdict.kind, verdict.recovered) == (VerdictKind.ONLY_CANDIDATE, True)
    assert world.watched_by("c1") == {CONTROL, CANDIDATE}
    world.run(94)
    assert world.ports["c1"].endings == []
    world.run(300)
    assert [d.at for d in world.journal.decided_by(CANDIDATE)] == [45 * S, 95 * S]
    assert world.ports["c1"].endings == [(105 * S, "terminate")]
