"""R16: how long a monitors watched, and how often it asked for a ping, for each kind of connection."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shim.flags.targeting import everyone_at
from shim.model import Connection, Coverage, Kind, Stage, Time
from shim.router import Opened
from shim.router.role_monitors import RoleMonitors
from shim.runtime.census import Census
from shim.runtime.coverage_meter import CoverageMeter
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType, answers, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World


def monitors(world: World) -> RoleMonitors:
    candidate = world.router.monitors(CANDIDATE)
    assert candidate is not None
    return candidate


def watched(world: World, kind: Kind = Kind.APP) -> Time:
    return monitors(world).watched_until(kind, world.now)


def test_r16_each_kind_of_connection_is_summed_apart() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(10)
    world.open("c2", Stage.LIVE, user="u2", session="s2")
    world.open("g1", Stage.COMPLETE, user="u2", session="s2", package=None)
    world.run(30)
    assert watched(world) == 30 * S + 20 * S
    assert watched(world, Kind.GLASSES) == 20 * S
    sent = [effect for _, effect in world.ports["g1"].effects]
    assert monitors(world).pings[Kind.GLASSES] == len(sent) >= 1
    assert monitors(world).pings[Kind.APP] >= 3


def test_r16_the_pings_of_each_kind_are_counted_apart() -> None:
    """Of one session, whose heartbeats ping glasses and apps together."""
    world = World()
    world.open("g1", Stage.SHADOW, package=None)
    for number in range(2):
        world.open(f"c{number}", Stage.SHADOW, package=f"p{number}")
    world.run(14.9)
    assert monitors(world).pings == {Kind.GLASSES: 1, Kind.APP: 2}


def test_r16_what_the_candidate_does_not_watch_does_not_count() -> None:
    world = World()
    world.open("c1", Stage.OFF)
    world.run(10)
    world.stage("c1", Stage.SHADOW)
    world.run(15)
    world.stage("c1", Stage.OFF)
    world.run(40)
    assert watched(world) == 5 * S
    assert monitors(world).pings[Kind.APP] <= 1


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.LIVE, Stage.COMPLETE])
def test_r16_after_a_decision_nothing_is_watched_until_the_next_sign_of_life(stage: Stage) -> None:
    world = World()
    world.open("c1", stage)
    world.run(50)
    assert watched(world) == 45 * S
    if stage is Stage.SHADOW:
        world.message("c1")
        world.run(55)
        assert watched(world) == 50 * S


def test_r16_a_closed_connection_is_not_watched() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(7)
    world.close("c1")
    world.run(20)
    assert watched(world) == 7 * S


def test_r16_a_pause_of_the_process_is_left_out() -> None:
    world = World()
    world.open("c1", Stage.SHADOW)
    world.run(7)
    world.pause(20)
    world.run(30)
    assert watched(world) == 10 * S


def test_r16_whoever_is_taken_over_at_the_end_of_a_pause_was_not_watched_in_it() -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    world.open("c1", Stage.OFF)
    world.open("c2", Stage.SHADOW)
    world.run(10)
    control.faults = {"paused": raises(ValueError("no")), "create": raises(ValueError("no"))}
    world.pause(20)
    assert world.watched_by("c1") == {CANDIDATE}
    world.run(40)
    assert watched(world) == 10 * S + 20 * S


def test_r16_a_quarantined_candidate_watches_nothing() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.LIVE, user="u2", session="s2")
    world.run(10)
    candidate.faults["paused"] = raises(ValueError("no"))
    for _ in range(3):
        world.router.paused(world.now, world.now)
    assert monitors(world).quarantined
    world.run(30)
    assert watched(world) == 2 * 10 * S


def test_r16_a_failed_instance_is_replaced_and_nothing_counts_twice() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["wake"] = answers([42])
    candidate.left = 1
    world.run(40)
    assert watched(world) == 40 * S


STEPS = st.integers(0, 30)
ACTIONS = st.lists(
    st.tuples(STEPS, st.sampled_from(["open", "stage", "message", "close", "pause"]), STEPS),
    max_size=20,
)


@settings(deadline=None)
@given(ACTIONS)
# The window of an episode ends within the last pause, and with it the candidate's watching.
@example([(10, "open", 1), (1, "pause", 25), (25, "pause", 11), (19, "pause", 30)])
def test_r16_the_integral_is_the_sum_of_every_instant(
    actions: list[tuple[int, str, int]],
) -> None:
    """Looked at each second, when all happens at whole seconds."""
    world = World()
    summed = dict.fromkeys((CONTROL, CANDIDATE), 0)

    def run(seconds: int) -> None:
        for _ in range(seconds):
            world.run(world.now / S)
            for role in summed:
                summed[role] += sum(role in world.watched_by(id) for id in world.tracked)
            world.run_before(world.now / S + 1)

    for number, (step, what, who) in enumerate(actions):
        run(step)
        there = sorted(tracked.connection.id for tracked in world.router.connections())
        if what == "open" or not there:
            world.open(f"c{number}", Stage(who % 4), session=f"s{who % 2}")
        elif what == "pause":
            world.pause(who)
        elif what == "stage":
            world.stage(there[who % len(there)], Stage(who % 4))
        elif what == "message":
            world.message(there[who % len(there)])
        else:
            world.close(there[who % len(there)])
    run(100)
    world.run(world.now / S)
    for role, seconds in summed.items():
        of_role = world.router.monitors(role)
        assert of_role is not None
        assert of_role.watched_until(Kind.APP, world.now) == seconds * S


# -- What is told each minute ----------------------------------------------------------------------


def test_r16_a_minute_without_connections_is_covered_too() -> None:
    """At night a small service has nobody connected: its record is complete all the same."""
    told: list[Coverage] = []
    meter = CoverageMeter(
        World().router, Census(0), heartbeat_interval=15 * S, tell=told.append, now=0
    )
    for minute in (1, 2):
        meter.measure(minute * 60 * S)
    assert [(row.kind, row.since, row.until) for row in told] == [
        (kind, (minute - 1) * 60 * S, minute * 60 * S) for minute in (1, 2) for kind in Kind
    ]
    assert {row.connected + row.watched + row.control_users for row in told} == {0}


def test_r16_users_are_counted_for_each_kind_of_connection() -> None:
    """A crowd is measured by those who are connected by this kind."""
    told: list[Coverage] = []
    census = Census(0)
    meter = CoverageMeter(World().router, census, heartbeat_interval=None, tell=told.append, now=0)
    for name, kind, user, stage in (
        ("c1", Kind.APP, "u1", Stage.LIVE),
        ("c2", Kind.APP, "u1", Stage.LIVE),
        ("c3", Kind.APP, "u2", Stage.LIVE),
        ("c4", Kind.GLASSES, "u1", Stage.LIVE),
        ("c5", Kind.APP, "u3", Stage.SHADOW),
        ("c6", Kind.APP, "u4", Stage.OFF),
    ):
        census.on(
            Opened(
                connection=Connection(name, kind, user, "s", None),
                evaluation=everyone_at(stage).evaluate(user),
                stage=stage,
                acting=stage.acting,
                at=0,
            )
        )
    meter.measure(60 * S)
    assert {row.kind: (row.control_users, row.candidate_users) for row in told} == {
        Kind.APP: (2, 2),
        Kind.GLASSES: (0, 1),
    }
