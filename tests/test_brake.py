"""The brake engages by itself when the candidate closes the living, or nobody comes back (R22)."""

from dataclasses import dataclass

import pytest

from shim.model import Duration, Role, Stage
from shim.runtime.automatic_brake import AutomaticBrake
from tests.router.helpers import S, World

MINUTE = 60 * S


@dataclass(frozen=True)
class Limits:
    window: Duration = 15 * MINUTE
    count: int = 5
    share: float = 0.01


def braked(**limits: float) -> World:
    """A world whose brake engages by itself."""

    def engage(reason: str) -> None:
        world.router.engage_brake(reason, world.now)

    brake = AutomaticBrake(Limits(**limits), 120 * S, engage, 0)  # type: ignore[arg-type]
    world = World(observers=[brake])
    return world


def open_users(world: World, stage: Stage, numbers: range) -> list[str]:
    names = [f"c{number}" for number in numbers]
    for name in names:
        world.open(name, stage, user=f"u{name}", session=f"s{name}")
    return names


def test_r22_clients_that_speak_after_the_candidates_close() -> None:
    world = braked()
    names = open_users(world, Stage.LIVE, range(10))
    world.run(45)
    assert {world.tracked[name].closed_by for name in names} == {Role.CANDIDATE}
    for name in names[:4]:
        world.message(name)
        world.message(name)
    assert world.router.brake_reason is None
    world.message(names[4])
    assert world.router.brake_reason == "5 of the candidate's 10 decisions hit a live connection"
    assert world.open("later", Stage.LIVE).stage is Stage.SHADOW


def test_r22_false_kills_in_the_shadow_count_as_well() -> None:
    world = braked()
    names = open_users(world, Stage.SHADOW, range(5))
    world.run(50)  # the candidate has decided, the control has not
    for name in names:
        assert world.router.brake_reason is None
        world.message(name)
    assert world.router.brake_reason is not None


@pytest.mark.parametrize("spread", [16 * MINUTE // 4, 1 * MINUTE])
def test_r22_they_count_within_the_window_only(spread: int) -> None:
    world = braked()
    for number in range(5):
        (name,) = open_users(world, Stage.SHADOW, range(number, number + 1))
        start = world.now
        # A sweep is at a multiple of 15 s: just after one the candidate is 15 s ahead.
        world.run((start + 46 * S) / S)
        world.message(name)
        world.close(name)
        world.run((start + spread - spread % (15 * S)) / S)
    assert (world.router.brake_reason is not None) == (spread == MINUTE)


def test_r22_after_a_release_only_new_evidence_counts() -> None:
    world = braked()
    names = open_users(world, Stage.SHADOW, range(10))
    world.run(50)
    for name in names[:5]:
        world.message(name)
    assert world.router.brake_reason is not None
    world.router.release_brake("it is mended", world.now)
    for name in names[5:9]:
        world.message(name)
    assert world.router.brake_reason is None
    more = open_users(world, Stage.SHADOW, range(10, 12))
    world.run(96)
    for name in more:
        world.message(name)
    assert world.router.brake_reason is not None


def test_r22_few_among_many_are_no_reason() -> None:
    world = braked(share=0.5)
    names = open_users(world, Stage.SHADOW, range(11))
    world.run(50)
    for name in names[:5]:
        world.message(name)
    assert world.router.brake_reason is None
    world.message(names[5])
    assert world.router.brake_reason == "6 of the candidate's 11 decisions hit a live connection"


def test_r22_clients_that_do_not_come_back() -> None:
    """As with 1001: whom the control terminates comes back, whom the candidate closes does not."""
    world = braked()
    users = 100
    for number in range(users):
        stage = Stage.SHADOW if number % 2 else Stage.LIVE
        world.open(f"c{number}", stage, user=f"u{number}", session=f"s{number}")
    world.run(61)
    world.open("another", Stage.SHADOW, user="u", session="s")  # its outcome is the last
    for number in range(1, users, 2):
        world.open(f"back{number}", Stage.SHADOW, user=f"u{number}", session=f"s{number}")
    assert world.router.brake_reason is None
    for second in range(70, 400, 10):
        world.run(second)
        for name in [name for name in world.ports if name.startswith("back")]:
            world.message(name)
    reason = world.router.brake_reason
    assert reason is not None
    assert "came back after the candidate's closing" in reason


def test_r22_without_a_difference_it_stays_released() -> None:
    world = braked()
    for round_ in range(20):
        for number in range(20):
            name = f"c{round_}.{number}"
            stage = Stage.SHADOW if number % 2 else Stage.LIVE
            world.open(name, stage, user=f"u{name}", session=f"s{name}")
        world.run((world.now + 400 * S) / S)
    assert world.router.brake_reason is None
