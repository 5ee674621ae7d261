"""A jump of the wall clock while no shim ran is told at the next start, as far as it can be known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shim.aio import Shim
from shim.ledger.rows import ClockJumpRow, RunRow
from shim.model import SECOND
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime.machine_start import machine_start
from shim.runtime.secrets import Secrets
from shim.settings.settings import settings_from
from tests.live.moved_clock import MovedClock

DAY = 86_400


class Runs:
    """Runs on one ledger, one after the other."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
    ) -> None:
        self.clock = MovedClock(monkeypatch)
        self._ledger = f"sqlite:///{folder}/shim.db"
        self._log = log

    @asynccontextmanager
    async def run(self) -> AsyncIterator[list[float]]:
        """The jumps that the rows of the start tell, in seconds; the log and the metric say the same."""
        settings = settings_from(
            {"rollout": None, "ledger": self._ledger}, monitor_types(plugin_manager())
        )
        self._log.clear()
        async with Shim.open(settings, secrets=Secrets("", "t" * 32, "k" * 32)) as shim:
            self._shim = shim
            await self.watch(0)
            records, reader = shim.assembly.records, shim.assembly.reader
            (run,) = reader.rows(RunRow, limit=1)
            rows = [row for row in reader.rows(ClockJumpRow) if row.run == run.id]
            lines = [line for line in self._log.messages if "the wall clock jumped" in line]
            assert len(lines) == len(rows)
            assert all("between the run before and this run" in line for line in lines)
            metrics = records.metrics.render()[1].decode()
            assert f"shim_clock_jumps_total {len(rows)}.0" in metrics
            yield [row.by / SECOND for row in rows]

    async def watch(self, seconds: float) -> None:
        """So much time passes in the present run, and is in the ledger."""
        await self.clock.move(self._shim, seconds)
        assert await asyncio.to_thread(self._shim.assembly.records.ledger.flush, 30)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Runs:
    return Runs(tmp_path, monkeypatch, caplog)


@pytest.mark.parametrize("by", [2 * DAY, 90, -90, -100 * DAY])
async def test_a_jump_while_no_shim_ran(runs: Runs, by: float) -> None:
    async with runs.run() as told:
        assert told == []
        await runs.watch(10)
    runs.clock.pause(3600)
    runs.clock.set_wall(by)
    async with runs.run() as told:
        assert told == [pytest.approx(by, abs=0.1)]
    runs.clock.pause(3600)
    async with runs.run() as told:
        assert told == []  # it was told before


async def test_time_without_a_shim_is_no_jump(runs: Runs) -> None:
    async with runs.run():
        await runs.watch(10)
    runs.clock.pause(30 * DAY)
    runs.clock.sleep(8 * 3600)
    async with runs.run() as told:
        assert told == []


@pytest.mark.parametrize("seen", [True, False])
async def test_a_jump_within_a_run_is_told_there_or_at_the_next_start(
    runs: Runs, seen: bool
) -> None:
    async with runs.run():
        runs.clock.set_wall(2 * DAY)
        await runs.watch(2 if seen else 0)
    async with runs.run() as told:
        assert told == ([] if seen else [pytest.approx(2 * DAY, abs=0.1)])
    async with runs.run() as told:
        assert told == []


async def test_after_another_start_of_the_machine_only_a_step_back_is_known(runs: Runs) -> None:
    async with runs.run():
        await runs.watch(30)
    runs.clock.boot = "another start"
    runs.clock.set_wall(2 * DAY)
    async with runs.run() as told:
        assert told == []
        await runs.watch(30)
    runs.clock.boot = "a third start"
    runs.clock.set_wall(-2 * DAY)
    async with runs.run() as told:
        assert told == [pytest.approx(-2 * DAY, abs=0.1)]


def test_the_machine_tells_its_start() -> None:
    (first, began), (second, ended) = machine_start(), machine_start()
    assert first == second
    assert (began or 0) <= (ended or 0)
