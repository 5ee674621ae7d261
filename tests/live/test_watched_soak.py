"""The soak of a step is time that was really watched, whatever the wall clock says (R16)."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from shim.aio import Shim
from shim.flags.targeting import Percentages
from shim.model import SECOND
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.promotion import advance_by_itself
from shim.runtime import flags_following
from shim.runtime.secrets import Secrets
from shim.settings.flags_file import load_flags_file
from shim.settings.settings import load_settings
from tests.live.moved_clock import MovedClock
from tests.rollout.files import flags
from tests.waiting import until

DAY = 86_400
PLAN = """\
promotion:
  auto: true
  steps:
    - {percent: {shadow: 100}, soak: SOAK, require: []}
    - {percent: {live: 100}}
"""
SHADOW, LIVE = Percentages(shadow=100), Percentages(live=100)


class Promoted:
    """Shims with a plan that take its steps by themselves, all the time; one after the other."""

    def __init__(self, folder: Path, clock: MovedClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self._folder = folder / "first"
        self._looks = 0

        def look(*arguments: Any) -> object:
            change = advance_by_itself(*arguments)
            self._looks += 1
            return change

        monkeypatch.setattr(flags_following, "_PROMOTION_INTERVAL", 0.01)
        monkeypatch.setattr("shim.runtime.flags_following.advance_by_itself", look)
        self._folder.mkdir()
        text = flags("shadow").replace("shadow: 0}", "shadow: 100}")
        (self._folder / "rollout.yaml").write_text(text)

    @asynccontextmanager
    async def shim(self, soak: str) -> AsyncIterator[Shim]:
        config = self._folder / "shim.yaml"
        config.write_text(f"ledger: sqlite:///{self._folder}/shim.db\n{PLAN.replace('SOAK', soak)}")
        settings = load_settings(config, monitor_types(plugin_manager()))
        async with Shim.open(settings, secrets=Secrets("", "t" * 32, "k" * 32)) as shim:
            yield shim

    async def percent(self, shim: Shim) -> Percentages:
        """What the file says when the plan was looked at twice more with all that is known."""
        assert await asyncio.to_thread(shim.assembly.records.ledger.flush, 30)
        before = self._looks
        await until(lambda: self._looks >= before + 2)
        return load_flags_file(self._folder / "rollout.yaml").targeting.percent

    def kill(self) -> None:
        """The next shim finds what a killed one leaves: its files as they are now."""
        left = self._folder.with_name(f"{self._folder.name}-left")
        shutil.copytree(self._folder, left)
        self._folder = left


@pytest.fixture
def promoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promoted:
    return Promoted(tmp_path, MovedClock(monkeypatch, rounds=1), monkeypatch)


async def test_a_clock_that_is_ahead_for_a_minute_is_no_soak(promoted: Promoted) -> None:
    clock = promoted.clock
    async with promoted.shim("1d") as shim:
        await clock.move(shim, 90)
        clock.set_wall(2 * DAY)
        await clock.move(shim, 90)
        assert await promoted.percent(shim) == SHADOW
        clock.set_wall(-2 * DAY)
        await clock.move(shim, 90)
        assert await promoted.percent(shim) == SHADOW


async def test_nor_over_a_kill_and_a_restart_while_the_clock_is_ahead(promoted: Promoted) -> None:
    clock = promoted.clock
    async with promoted.shim("1d") as shim:
        await clock.move(shim, 130)
        clock.set_wall(2 * DAY)
        await clock.move(shim, 10)
        assert await promoted.percent(shim) == SHADOW
        promoted.kill()
    async with promoted.shim("1d") as shim:
        await clock.move(shim, 130)
        assert await promoted.percent(shim) == SHADOW
        clock.set_wall(-2 * DAY)
        await clock.move(shim, 70)
        assert await promoted.percent(shim) == SHADOW
        promoted.kill()
    async with promoted.shim("1d") as shim:
        await clock.move(shim, 130)
        assert await promoted.percent(shim) == SHADOW


async def test_a_process_that_stood_still_for_two_days_has_not_watched(promoted: Promoted) -> None:
    async with promoted.shim("1d") as shim:
        await promoted.clock.move(shim, 70)
        promoted.clock.pause(2 * DAY)
        await promoted.clock.move(shim, 130)
        assert await promoted.percent(shim) == SHADOW


async def test_nor_has_a_machine_that_slept(promoted: Promoted) -> None:
    async with promoted.shim("1d") as shim:
        await promoted.clock.move(shim, 70)
        promoted.clock.sleep(2 * DAY)
        await promoted.clock.move(shim, 130)
        assert await promoted.percent(shim) == SHADOW


async def test_what_was_watched_is_soak_while_the_clock_jumps_to_and_fro(
    promoted: Promoted,
) -> None:
    """The right step is not held up either: nine minutes are not enough, twelve are."""
    clock = promoted.clock
    async with promoted.shim("10m") as shim:
        start = shim.wall()
        for _ in range(4):
            clock.set_wall(2 * DAY)
            await clock.move(shim, 60)
            clock.set_wall(-2 * DAY)
            await clock.move(shim, 60)
        assert await promoted.percent(shim) == SHADOW
        await clock.move(shim, 300)
        assert await promoted.percent(shim) == LIVE
        assert shim.wall() - start <= 800 * SECOND
