"""Act two: its players, and what becomes of a step that fails, or of an operator who goes home."""

import asyncio
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from shim.demo.log import LastLines
from shim.demo.production import Options, Production
from shim.demo.rollout.act import play_act_two
from shim.demo.rollout.play import Play, Step
from shim.demo.rollout.scenario import flags_file, new_release, old_release, settings_value
from shim.demo.scenario import FACTOR, Behaviour
from shim.demo.serving import serve
from shim.demo.story import Stories
from shim.demo.waiting import unless
from shim.model import Kind, Stage
from shim.settings import parse_flags

FILES = (
    (flags_file(shadow=100), {Stage.SHADOW}),
    (flags_file(live=50, shadow=50), {Stage.SHADOW, Stage.LIVE}),
    (flags_file(live=90, shadow=10), {Stage.LIVE}),
)
"""The files that the operator puts in place, and the stages that somebody has to be at."""


@pytest.mark.parametrize("users", [36, 200, 1000])
def test_every_file_has_clients_for_every_stage_that_it_names(users: int) -> None:
    dropped = [c for c in old_release(users) if c.behaviour is Behaviour.DROPPED]
    for players in (dropped, new_release(users)):
        for content, wanted in FILES:
            rollout = parse_flags(content, "flags")
            stages = {rollout.evaluate(client.user).stage for client in players}
            assert wanted <= stages <= {Stage.SHADOW, Stage.LIVE}
            assert all(rollout.evaluate(client.user).by_percentage for client in players)
    assert {client.kind for client in dropped} == set(Kind)


def test_at_first_everybody_is_off() -> None:
    rollout = parse_flags(flags_file(), "flags")
    assert {rollout.evaluate(client.user).stage for client in old_release(200)} == {Stage.OFF}


def test_the_brake_is_the_seed_s_divided() -> None:
    value = settings_value(FACTOR, "/tmp/ledger.db")
    assert value["brake"] == {"window": "45000.000ms", "count": 5}
    assert value["guard"]["window"] == "1500.000ms"


def production(folder: Path, *, interrupted: bool = False) -> Production:
    event = asyncio.Event()
    if interrupted:
        event.set()
    console = Console(file=StringIO())
    return Production(Options(32, 36, FACTOR, 0, False), console, folder, LastLines(), event)


def test_a_busy_machine_gets_more_time(tmp_path: Path) -> None:
    given = production(tmp_path)
    assert given.slowed(0) is given
    assert given.slowed(0.3).options.factor == FACTOR
    assert given.slowed(1.5).options.factor == 7.5


async def _wait(play: Play) -> None: ...


def step(title: str, *, reached: bool) -> Step:
    return Step(title, "something", 0, _wait, lambda play: reached)


@pytest.mark.real
async def test_after_a_step_that_is_not_reached_nothing_more_is_played(tmp_path: Path) -> None:
    flags = tmp_path / "rollout.yaml"
    flags.write_bytes(flags_file())
    stories = Stories(old_release(36))
    settings = settings_value(FACTOR, str(tmp_path / "ledger.db"))
    steps = [
        step("first", reached=True),
        step("second", reached=False),
        step("third", reached=True),
    ]
    async with serve(settings, [stories], flags) as served:
        newcomers = production(tmp_path).crew([], served)
        play = Play(served, flags, stories.by_client, newcomers, seconds=1, patience=0.1)
        await play.run(steps)
    assert [mark.step.title for mark in play.marks] == ["first", "second"]
    assert play.marks[0].took is not None
    assert play.marks[1].took is None


@pytest.mark.real
async def test_the_flags_file_is_followed_and_a_truncated_one_is_not(tmp_path: Path) -> None:
    flags = tmp_path / "rollout.yaml"
    flags.write_bytes(flags_file())
    settings = settings_value(FACTOR, str(tmp_path / "ledger.db"))
    async with serve(settings, [], flags) as served:
        play = Play(
            served, flags, [], production(tmp_path).crew([], served), seconds=1, patience=30
        )
        assert play.placed
        play.put(flags_file(shadow=100))
        assert not play.placed
        await play.run([Step("good", "", 0, _wait, lambda play: play.placed)])
        play.put_truncated()
        await play.run([Step("bad", "", 0, _wait, lambda play: play.refused)])
        assert play.placed
        assert all(mark.took is not None for mark in play.marks)


@pytest.mark.real
async def test_an_interrupted_act_leaves_nothing_running(tmp_path: Path) -> None:
    assert await play_act_two(production(tmp_path, interrupted=True)) is None
    assert len(asyncio.all_tasks()) == 1


async def test_work_is_done_unless_something_else_comes_first() -> None:
    assert await unless(asyncio.sleep(0), asyncio.Event().wait())
    ended = asyncio.Event()
    ended.set()
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert not await unless(work(), ended.wait())
    assert cancelled.is_set()
    assert len(asyncio.all_tasks()) == 1


async def test_what_the_work_raises_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless(work(), asyncio.Event().wait())
