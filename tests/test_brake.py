"""The brake engages by itself when the candidate closes the living, or nobody comes back (R22)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest

from shim.gate.brake_statistics import BrakeRecord, FalseKill
from shim.gate.observed_rows import Arm, ObservedRow
from shim.gate.question import QuestionTimes
from shim.model import UNCOUNTED, Coverage, Kind, Placement, Role, Stage
from shim.router import Guard
from shim.runtime.automatic_brake import AutomaticBrake
from shim.settings.sections import GuardSettings
from tests.gate.evidence import BrakeLimits
from tests.router.helpers import S, World

MINUTE = 60 * S
DAY = 86_400 * S
BEGUN = 20_000 * DAY + DAY // 2
"""The wall-clock time at which a world begins."""


def braked(record: BrakeRecord | None = None, guard: Guard | None = None, **limits: float) -> World:
    """A world whose brake engages by itself."""

    def engage(reason: str, *, by_itself: bool) -> None:
        assert by_itself
        world.router.engage_brake(reason, world.now, by_itself=True)

    times = QuestionTimes(since=BEGUN, period=7 * DAY, unit=DAY, grain=MINUTE)
    brake = AutomaticBrake(BrakeLimits(**limits), times, engage, lambda at: BEGUN + at)  # type: ignore[arg-type]
    if record is not None:
        brake.resume(record)
    world = World(observers=[brake], guard=guard)
    return world


def open_users(world: World, stage: Stage, numbers: range) -> list[str]:
    names = [f"c{number}" for number in numbers]
    for name in names:
        world.open(name, stage, user=f"u{name}", session=f"s{name}")
    return names


def open_apps(world: World, stage: Stage, numbers: range) -> list[str]:
    """Connections of one user: the brake's observation of a day is one user."""
    names = [f"c{number}" for number in numbers]
    for name in names:
        world.open(name, stage, package=f"com.example.{name}")
    return names


def speak_each_minute(world: World, names: list[str]) -> None:
    for name in names:
        assert world.router.brake_reason is None
        world.message(name)
        world.run((world.now + MINUTE) / S)


def test_r22_users_for_whom_nobody_vouches_engage_no_brake() -> None:
    world = braked()
    for number in range(20):
        user = f"u{number}"
        world.open(user, Stage.LIVE, user=user, session=user, placement=UNCOUNTED)
        world.open(f"s{user}", Stage.SHADOW, user=f"s{user}", session=user, placement=UNCOUNTED)
    world.run(50)
    for number in range(20):
        world.message(f"u{number}")
        world.message(f"su{number}")
        world.run((world.now + MINUTE) / S)
    assert world.router.brake_reason is None


def test_r22_clients_that_speak_after_the_candidates_close() -> None:
    world = braked()
    names = open_apps(world, Stage.LIVE, range(10))
    world.run(45)
    assert {world.tracked[name].closed_by for name in names} == {Role.CANDIDATE}
    speak_each_minute(world, names[:4])
    assert world.router.brake_reason is None
    world.message(names[4])
    assert world.router.brake_reason == (
        "5 of the candidate's 10 decisions within 15 min hit a live connection"
    )
    assert world.open("later", Stage.LIVE).stage is Stage.SHADOW


def test_r22_a_cut_of_the_network_fills_two_minutes_at_most() -> None:
    """All clients speak when the network is back: that is an outage, not a fault."""
    world = braked()
    names = open_apps(world, Stage.LIVE, range(10))
    world.run(45)
    for number, name in enumerate(names):
        world.message(name)
        if number == 5:
            world.run(45 + 61)
    assert world.router.brake_reason is None


def test_r22_false_kills_of_several_users_count_within_the_day() -> None:
    world = braked()
    names = open_users(world, Stage.LIVE, range(10))
    world.run(45)
    speak_each_minute(world, names[:2])
    assert world.router.brake_reason is None
    world.message(names[2])
    assert world.router.brake_reason == (
        "3 of the candidate's 10 decisions within the day hit a live connection"
    )


def test_r22_a_short_cut_of_the_network_is_no_reason_within_the_day() -> None:
    """All clients speak at once when the network is back: that is one false kill."""
    world = braked()
    names = open_users(world, Stage.LIVE, range(10))
    world.run(45)
    for name in names:
        world.message(name)
    assert world.router.brake_reason is None


@pytest.mark.parametrize("apart", [4 * MINUTE, MINUTE])
def test_r22_false_kills_in_the_shadow_count_within_the_window_only(apart: int) -> None:
    world = braked()
    for number in range(5):
        assert world.router.brake_reason is None
        (name,) = open_apps(world, Stage.SHADOW, range(number, number + 1))
        start = world.now
        # A sweep is at a multiple of 15 s: just after one the candidate is 15 s ahead.
        world.run((start + 46 * S) / S)
        world.message(name)
        world.close(name)
        world.run((start + apart - apart % (15 * S)) / S)
    assert (world.router.brake_reason is not None) == (apart == MINUTE)


def test_r22_after_a_release_only_new_evidence_counts() -> None:
    world = braked()
    names = open_apps(world, Stage.LIVE, range(14))
    world.run(45)
    speak_each_minute(world, names[:5])
    assert world.router.brake_reason is not None
    world.router.release_brake("it is mended", world.now)
    speak_each_minute(world, names[5:9])
    assert world.router.brake_reason is None
    world.message(names[9])
    assert world.router.brake_reason is not None


def test_r22_few_among_many_are_no_reason() -> None:
    """Five false kills are not significantly more than a tenth of 14 decisions."""
    world = braked(share=0.1)
    names = open_apps(world, Stage.LIVE, range(14))
    world.run(45)
    speak_each_minute(world, names[:9])
    assert world.router.brake_reason is None
    world.message(names[9])
    assert world.router.brake_reason == (
        "10 of the candidate's 14 decisions within 15 min hit a live connection"
    )


def test_r22_false_kills_of_before_a_restart_count() -> None:
    decisions = tuple(("u1", BEGUN + second * S) for second in (-600, -500, -400, -300))
    kills = tuple(FalseKill(*decision) for decision in decisions)
    record = BrakeRecord(BEGUN - DAY, BEGUN - DAY, decisions=decisions, kills=kills)
    for resumed, engaged in ((record, True), (None, False)):
        world = braked(resumed)
        (name,) = open_apps(world, Stage.LIVE, range(1))
        world.run(45)
        world.message(name)
        assert (world.router.brake_reason is not None) is engaged


def test_r22_the_days_of_before_a_restart_count() -> None:
    """On the hundredth day three false kills of ten decisions are no reason yet."""
    for days, engaged in ((0, True), (99, False)):
        world = braked(BrakeRecord(BEGUN, BEGUN - days * DAY))
        names = open_users(world, Stage.LIVE, range(10))
        world.run(45)
        speak_each_minute(world, names[:2])
        world.message(names[2])
        assert (world.router.brake_reason is not None) is engaged


def cut_the_network(record: BrakeRecord, closes: int) -> World:
    """The guard holds after 20 of 100 closes; so many of the closed clients speak, a minute apart."""
    world = braked(record, guard=Guard(GuardSettings()))
    names = open_users(world, Stage.LIVE, range(100))
    world.run_before(45)
    world.router.step(world.now)
    assert world.router.guard is not None
    assert world.router.guard.holding
    early = [name for name in names if world.ports[name].endings]
    world.run(46)
    for name in early[:closes]:
        world.message(name)
        for _ in range(2):
            for other in names:
                if other not in early:
                    world.message(other)
            world.run((world.now + MINUTE // 2) / S)
    return world


@pytest.mark.parametrize(("before", "closes"), [(0, 9), (3, 6)])
def test_r22_an_event_of_the_guard_is_one_false_kill_after_a_restart_too(
    before: int, closes: int
) -> None:
    """Events are numbered in each process anew: the first one of this process is not the one before."""
    of_event = tuple(FalseKill(f"b{number}", BEGUN - MINUTE, (1, 1)) for number in range(before))
    record = BrakeRecord(BEGUN - DAY, BEGUN - DAY, kills=of_event)
    assert cut_the_network(record, closes).router.brake_reason is None
    # With eight more they are nine, which is significantly more than 1 % of 100 decisions.
    minutes = range(8 if not before else 7, 0, -1)
    alone = tuple(FalseKill(f"a{number}", BEGUN - number * MINUTE) for number in minutes)
    record = replace(record, kills=of_event + alone)
    assert cut_the_network(record, closes=1).router.brake_reason is not None


def covered(minute: int) -> Coverage:
    return Coverage(
        kind=Kind.APP,
        since=(minute - 1) * MINUTE,
        until=minute * MINUTE,
        connected=0,
        control_acted=0,
        candidate_acted=0,
        watched=0,
        pings=0,
        heartbeat_interval=15 * S,
        control_users=200,
        candidate_users=200,
    )


def test_r22_returns_of_before_a_restart_count() -> None:
    rows = tuple(
        (
            Kind.APP,
            ObservedRow(
                f"u{number}",
                BEGUN + (number - 300) * 2 * MINUTE,
                bool(number % 2),
                Arm("everybody", Role.CONTROL if number % 2 else Role.CANDIDATE),
                1,
            ),
        )
        for number in range(200)
    )
    for resumed, engaged in (
        (BrakeRecord(BEGUN - DAY, BEGUN - DAY, returns=rows), True),
        (None, False),
    ):
        world = braked(resumed)
        world.observers.on(covered(5))
        assert (world.router.brake_reason is not None) is engaged


class Client(NamedTuple):
    """A user whose connection is cut after a minute, and who comes back or does not."""

    acting: Role
    returns: bool
    group: str = "everybody"


def watch_returns(world: World, clients: Sequence[Client], apart: int = 20 * S) -> str | None:
    """The clients come one after the other; why the brake engaged."""
    for number in range(len(clients) + 12 * 20 * S // apart):
        if number < len(clients):
            acting, _, group = clients[number]
            stage = Stage.LIVE if acting is Role.CANDIDATE else Stage.SHADOW
            open_user(world, f"c{number}", stage, number, group)
        before = number - 80 * S // apart  # by then its connection has been closed
        if 0 <= before < len(clients) and clients[before].returns:
            open_user(world, f"back{before}", Stage.SHADOW, before, clients[before].group)
            world.close(f"back{before}")
        world.run((number + 1) * apart / S)
        if not number % 3:
            world.observers.on(covered(world.now // MINUTE))
    return world.router.brake_reason


def open_user(world: World, name: str, stage: Stage, user: int, group: str) -> None:
    placement = Placement(group)
    world.open(name, stage, user=f"u{user}", session=f"s{user}", placement=placement)


def arms(control: bool, candidate: bool, number: int = 40) -> list[Client]:
    """Alternately a client of each monitor, who comes back or does not."""
    return [Client(Role.CANDIDATE, candidate), Client(Role.CONTROL, control)] * number


def test_r22_clients_that_do_not_come_back() -> None:
    """As with 1001: whom the control terminates comes back, whom the candidate closes does not."""
    reason = watch_returns(braked(), arms(control=True, candidate=False))
    assert reason is not None
    assert "came back after the candidate's closing" in reason


@pytest.mark.parametrize(("control", "candidate"), [(False, False), (False, True), (True, True)])
def test_r22_without_a_difference_or_with_more_returns_it_stays_released(
    control: bool, candidate: bool
) -> None:
    assert watch_returns(braked(), arms(control, candidate)) is None


def test_r22_groups_are_compared_each_for_itself() -> None:
    """Clients of the group `good` come back whoever acts, those of `bad` never; most of `bad` are live."""
    mixed = [
        *[Client(Role.CONTROL, True, "good")] * 3,
        Client(Role.CANDIDATE, True, "good"),
        Client(Role.CONTROL, False, "bad"),
        *[Client(Role.CANDIDATE, False, "bad")] * 3,
    ] * 15
    assert watch_returns(braked(), mixed) is None
    together = [client._replace(group="everybody") for client in mixed]
    assert watch_returns(braked(), together) is not None


@pytest.mark.parametrize(("others", "engaged"), [(1, True), (5, False)])
def test_r22_a_group_with_a_quarter_of_the_users_is_enough(others: int, engaged: bool) -> None:
    """A smaller group is not compared for itself."""
    worse = [Client(Role.CONTROL, True, "rule"), Client(Role.CANDIDATE, False, "rule")]
    mixed = [*worse, *arms(control=True, candidate=True, number=others)] * 30
    assert (watch_returns(braked(), mixed) is not None) is engaged


@pytest.mark.parametrize("at_once", [True, False])
def test_r22_an_outage_from_which_nobody_returns_is_one_event(at_once: bool) -> None:
    """Thirty clients of the candidate are cut within a minute, or one after the other."""
    world = braked()
    calm = arms(control=True, candidate=True)
    cut = [Client(Role.CANDIDATE, False)] * 30
    assert watch_returns(world, calm) is None
    start = world.now
    for number in range(len(cut)):
        open_user(world, f"cut{number}", Stage.LIVE, 1000 + number, "everybody")
        if not at_once:
            world.run((start + number * MINUTE) / S)
    for _ in range(6):
        world.run((world.now + MINUTE) / S)
        world.observers.on(covered(world.now // MINUTE))
    assert (world.router.brake_reason is None) is at_once
