"""Work with a budget: very many connections, and the event loop has its turns in between."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.model import Pings, Pulse, Role, Stage
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType, raises
from tests.router.helpers import S, World

MANY = 1000


def used_up() -> bool:
    """A budget that permits one piece of work."""
    return True


def crowd(stage: Stage, *, count: int = MANY, candidate: FaultyType | None = None) -> World:
    world = World(candidate=candidate)
    for number in range(count):
        world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
    return world


def step_until_done(world: World, step: Callable[[], None]) -> int:
    steps = 0
    while (due := world.router.next_wake) is not None and due <= world.now:
        step()
        steps += 1
        assert steps < 10 * MANY
    return steps


def step_in_moments(world: World, step: Callable[[], None]) -> None:
    """From 15 s on, each step a microsecond later, until nothing waits."""
    world.now = 15 * S

    def step_later() -> None:
        step()
        world.now += 1

    step_until_done(world, step_later)


def asked_by(world: World, role: Role) -> int:
    """How many pings the monitors of this role have asked for."""
    monitors = world.router.monitors(role)
    assert monitors is not None
    return sum(monitors.pings.values())


def pings(world: World) -> list[int]:
    return [len(port.effects) - len(port.endings) for port in world.ports.values()]


def test_r1_a_sweep_is_sent_in_several_steps_and_each_connection_is_pinged_once() -> None:
    world = crowd(Stage.OFF)
    world.now = 15 * S
    steps = step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    assert steps > 10
    assert pings(world) == [1] * MANY


def test_r4_the_next_step_is_due_for_the_monitor_that_waits_longest() -> None:
    """The driver is late: the control's pings wait since now, and the candidate's heartbeat since before."""
    world = crowd(Stage.SHADOW)
    due = world.router.next_wake
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    assert world.router.next_wake == due
    assert due is not None
    assert due < world.now


def test_r1_a_budget_that_is_not_used_up_leaves_nothing_to_wait() -> None:
    world = crowd(Stage.OFF)
    world.now = 15 * S
    world.router.step_control(world.now, lambda: False)
    assert pings(world) == [1] * MANY
    assert world.router.next_wake == 30 * S


def test_r1_a_step_without_a_budget_sends_all_pings_that_wait() -> None:
    world = crowd(Stage.OFF)
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    assert 0 < sum(pings(world)) < MANY
    world.router.step_control(world.now)
    assert pings(world) == [1] * MANY


def test_r1_who_left_before_its_ping_is_not_pinged_and_who_came_back_waits_for_the_next() -> None:
    world = crowd(Stage.OFF)
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    for number in range(0, MANY, 2):
        world.router.close(world.tracked[f"c{number}"], world.now)
    world.open("new", Stage.OFF)
    before = pings(world)
    step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    gone = range(0, MANY, 2)
    assert [pings(world)[number] for number in gone] == [before[number] for number in gone]
    assert pings(world)[1:-1:2] == [1] * (MANY // 2)
    assert pings(world)[-1] == 0
    assert asked_by(world, Role.CONTROL) == sum(pings(world))


def test_r5_a_ping_that_cannot_be_sent_is_a_failure_also_if_it_had_to_wait() -> None:
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    for number in range(200):
        world.open(f"c{number}", Stage.OFF, user=f"u{number}", session=f"s{number}")
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    world.tracked["c150"].control.ping = b"x" * 126
    step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    (failure,) = world.journal.failures
    assert (failure.role, failure.call) == (Role.CONTROL, "wake")
    assert failure.reason.startswith("asked for a ping that cannot be sent")
    # A fresh instance watches everybody, and the sweep that failed is over.
    assert world.orphans() == []
    assert len(control.made) == 2
    assert pings(world)[160:] == [0] * 40


class ShyPulse(Pulse):
    @property
    def owner(self) -> object:
        raise RuntimeError("hands off")


def shy_sweep() -> tuple[World, FaultyType]:
    """A sweep of 100 connections and of a pulse that cannot be looked at, whose ping has to wait."""
    control = FaultyType(LegacyGlobal())
    world = World(control=control)
    for number in range(100):
        world.open(f"c{number}", Stage.OFF, user=f"u{number}", session=f"s{number}")
    shy = ShyPulse.__new__(ShyPulse)
    control.faults["wake"] = lambda real: [Pings([*real()[0].pulses, shy])]
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    assert world.journal.failures == []
    return world, control


def test_r5_a_pulse_that_cannot_be_looked_at_is_a_failure_also_if_its_ping_had_to_wait() -> None:
    world, _ = shy_sweep()
    world.router.step_control(world.now, used_up)
    assert [failure.reason for failure in world.journal.failures] == ["RuntimeError: hands off"]


def test_r5_what_waits_of_an_instance_that_was_replaced_is_forgotten() -> None:
    """It is not looked at, and so it is no second failure."""
    world, control = shy_sweep()
    control.faults = {"paused": raises(ValueError("no"))}
    control.left = 1
    world.router.paused(world.now, world.now)
    step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    assert [failure.call for failure in world.journal.failures] == ["paused"]


@pytest.mark.parametrize("count", [64, 65, 128])
def test_r1_nothing_waits_once_the_last_ping_is_sent(count: int) -> None:
    world = crowd(Stage.OFF, count=count)
    world.now = 15 * S
    steps = step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    assert (steps, pings(world)) == (1 if count == 64 else 2, [1] * count)


def test_r1_a_sweep_that_lasts_longer_than_an_interval_swallows_ticks() -> None:
    """As in the original, whose sweep kept the process busy."""
    world = crowd(Stage.OFF)
    world.now = 15 * S
    world.router.step_control(world.now, used_up)
    world.now = 40 * S
    step_until_done(world, lambda: world.router.step_control(world.now, used_up))
    assert pings(world) == [2] * MANY


def test_r1_what_a_sweep_decides_is_done_in_its_first_step() -> None:
    world = crowd(Stage.OFF)
    for number in range(MANY - 1):
        world.tracked[f"c{number}"].control.last_seen = 50 * S
    world.now = 60 * S
    world.router.step_control(world.now, used_up)
    assert world.ports[f"c{MANY - 1}"].endings == [(60 * S, "terminate")]
    assert sum(pings(world)) < MANY


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.COMPLETE])
def test_r2_every_session_is_woken_and_a_rest_is_due_at_once(stage: Stage) -> None:
    world = crowd(stage, count=100)
    world.now = 15 * S

    def step() -> None:
        world.router.step_control(world.now)
        world.router.step_candidate(world.now, used_up)

    assert step_until_done(world, step) == 100
    assert asked_by(world, Role.CANDIDATE) == 100


def test_r2_where_the_budget_permits_every_session_is_woken_in_one_step() -> None:
    world = crowd(Stage.SHADOW, count=100)
    world.now = 15 * S
    world.router.step_candidate(world.now, lambda: False)
    assert asked_by(world, Role.CANDIDATE) == 100


def test_r2_a_session_is_woken_when_the_heartbeat_of_the_one_before_has_been_sent() -> None:
    world = World()
    for number in range(200):
        session = f"s{number % 2}"
        world.open(f"c{number}", Stage.COMPLETE, session=session, package=f"p{number}")
    world.router.step_control(15 * S)
    step_in_moments(world, lambda: world.router.step_candidate(world.now, used_up))
    sent = [port.effects[0][0] for port in world.ports.values()]
    first, second = sorted((sent[::2], sent[1::2]))
    assert max(first) <= min(second)


def test_r1_what_waits_of_two_heartbeats_is_sent_one_after_the_other() -> None:
    """A third party's monitor may ask for two heartbeats in one wake; 64 pings of each are sent at once."""

    def halved(real: Callable[[], Any]) -> list[Any]:
        (heartbeat,) = real()
        half = len(heartbeat.pulses) // 2
        return [Pings(heartbeat.pulses[:half]), Pings(heartbeat.pulses[half:])]

    control = FaultyType(LegacyGlobal())
    control.faults["wake"] = halved
    world = World(control=control)
    for number in range(400):
        world.open(f"c{number}", Stage.OFF, user=f"u{number}", session=f"s{number}")
    step_in_moments(world, lambda: world.router.step_control(world.now, used_up))
    sent = [port.effects[0][0] for port in world.ports.values()]
    assert max(sent[:200]) <= min(sent[264:])
    assert pings(world) == [1] * 400


def test_r3_a_monitor_that_was_left_out_knows_the_pause_before_it_is_asked_anything() -> None:
    candidate = FaultyType()
    world = crowd(Stage.SHADOW, count=10, candidate=candidate)
    world.now = 10 * S
    world.router.paused(0, 8 * S, used_up)
    world.router.paused(8 * S, 10 * S, used_up)
    assert candidate.calls.count("paused") == 2  # the first session's monitor; the others wait
    candidate.calls.clear()
    world.open("another", Stage.SHADOW, user="u5", session="s5")
    assert candidate.calls[:3] == ["paused", "paused", "register"]
    candidate.calls.clear()
    world.now = 30 * S
    world.router.step_candidate(world.now)
    assert candidate.calls.count("paused") == 2 * 8
    assert world.journal.failures == []
    candidate.calls.clear()
    world.router.paused(30 * S, 31 * S)
    assert candidate.calls.count("paused") == 10


def test_r3_where_the_budget_permits_every_monitor_is_told_of_a_pause_at_once() -> None:
    candidate = FaultyType()
    world = crowd(Stage.SHADOW, count=10, candidate=candidate)
    world.now = 10 * S
    world.router.paused(0, 8 * S, lambda: False)
    assert candidate.calls.count("paused") == 10


def test_r3_a_monitor_is_told_of_the_pauses_that_its_connections_were_silent_in() -> None:
    """A mass reconnect makes very many monitors: those need no pause that came before."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("old", Stage.OFF)
    world.now = 2 * S
    world.open("older than one", Stage.OFF, package="com.example.app2")
    world.pause(8)
    world.now = 12 * S
    world.message("older than one")
    world.pause(9)
    world.now = 30 * S
    candidate.calls.clear()
    world.open("new", Stage.SHADOW, package="com.example.app3")
    assert "paused" not in candidate.calls
    world.stage("older than one", Stage.SHADOW)
    world.stage("old", Stage.SHADOW)
    calls = [call for call in candidate.calls if call in ("create", "register", "paused")]
    assert calls == ["create", "register", "paused", "register", "paused", "register"]
    pauses = candidate.made[0].real._pauses
    assert pauses == ((2 * S, 8 * S), (12 * S, 9 * S))
    candidate.calls.clear()
    world.pause(10)
    assert candidate.calls.count("paused") == 1
    assert world.journal.failures == []


def test_r3_the_last_sixteen_pauses_are_remembered_for_monitors_that_are_made_later() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.OFF)
    for _ in range(17):
        world.run(world.now / S + 10)
        world.message("c1")
        world.pause(6)
    world.tracked["c1"].last_activity = 0
    world.stage("c1", Stage.SHADOW)
    assert candidate.calls.count("paused") == 16
    # The first of them is forgotten.
    assert candidate.made[0].real._pauses[0] == (26 * S, 6 * S)


def test_r5_a_monitor_that_fails_when_it_is_told_later_is_replaced() -> None:
    candidate = FaultyType()
    world = crowd(Stage.LIVE, count=3, candidate=candidate)
    world.router.paused(world.now, world.now + S, used_up)
    candidate.faults["paused"] = raises(ValueError("no"))
    world.now = 16 * S
    world.router.step_candidate(world.now)
    assert [failure.call for failure in world.journal.failures] == ["paused", "paused"]
    assert all(tracked.acting is Role.CONTROL for tracked in list(world.tracked.values())[1:])
