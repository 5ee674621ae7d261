"""The brake engages by itself when the candidate closes the living, or nobody comes back (R22)."""

from dataclasses import dataclass

import pytest

from shim.gate import Arm, BrakeRecord, ObservedRow, QuestionTimes
from shim.model import Coverage, Duration, Kind, Role, Stage
from shim.runtime.automatic_brake import AutomaticBrake
from tests.router.helpers import S, World

MINUTE = 60 * S
DAY = 86_400 * S
BEGUN = 20_000 * DAY + DAY // 2
"""The wall-clock time at which a world begins."""


@dataclass(frozen=True)
class Limits:
    window: Duration = 15 * MINUTE
    count: int = 5
    share: float = 0.01
    spread: int = 3


def braked(record: BrakeRecord | None = None, **limits: float) -> World:
    """A world whose brake engages by itself."""

    def engage(reason: str, *, by_itself: bool) -> None:
        assert by_itself
        world.router.engage_brake(reason, world.now, by_itself=True)

    times = QuestionTimes(since=BEGUN, period=7 * DAY, unit=DAY, grain=MINUTE)
    brake = AutomaticBrake(Limits(**limits), times, engage, lambda at: BEGUN + at)  # type: ignore[arg-type]
    if record is not None:
        brake.resume(record)
    world = World(observers=[brake])
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
    for name in names[:2]:
        world.message(name)
    assert world.router.brake_reason is None
    world.message(names[2])
    assert world.router.brake_reason == (
        "3 of the candidate's 10 decisions within the day hit a live connection"
    )


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
    kills = tuple(("u1", BEGUN + second * S) for second in (-600, -500, -400, -300))
    record = BrakeRecord(BEGUN - DAY, decisions=kills, kills=kills)
    for resumed, engaged in ((record, True), (None, False)):
        world = braked(resumed)
        (name,) = open_apps(world, Stage.LIVE, range(1))
        world.run(45)
        world.message(name)
        assert (world.router.brake_reason is not None) is engaged


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
    for resumed, engaged in ((BrakeRecord(BEGUN - DAY, returns=rows), True), (None, False)):
        world = braked(resumed)
        world.observers.on(covered(5))
        assert (world.router.brake_reason is not None) is engaged


def watch_returns(world: World, come_back: tuple[Role, ...]) -> None:
    """Users who lose their connection one after the other, half of them with the candidate acting."""
    users, apart = 80, 20 * S
    for number in range(users + 12):
        if number < users:
            stage = Stage.SHADOW if number % 2 else Stage.LIVE
            world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
        before = number - 4  # by then its connection has been closed
        if 0 <= before < users and (Role.CANDIDATE, Role.CONTROL)[before % 2] in come_back:
            back = f"back{before}"
            world.open(back, Stage.SHADOW, user=f"u{before}", session=f"s{before}")
            world.close(back)
        world.run((number + 1) * apart / S)
        if not number % 3:
            world.observers.on(covered(world.now // MINUTE))


def test_r22_clients_that_do_not_come_back() -> None:
    """As with 1001: whom the control terminates comes back, whom the candidate closes does not."""
    world = braked()
    watch_returns(world, come_back=(Role.CONTROL,))
    reason = world.router.brake_reason
    assert reason is not None
    assert "came back after the candidate's closing" in reason


@pytest.mark.parametrize("come_back", [(), (Role.CANDIDATE,), (Role.CONTROL, Role.CANDIDATE)])
def test_r22_without_a_difference_or_with_more_returns_it_stays_released(
    come_back: tuple[Role, ...],
) -> None:
    world = braked()
    watch_returns(world, come_back)
    assert world.router.brake_reason is None
