"""The run's time of day: the wall clock is set, the machine sleeps, and the ledger's time goes on."""

import asyncio
import logging
from pathlib import Path

import pytest

from shim.aio import Shim
from shim.console import Operations
from shim.gate.answer import GateVerdict
from shim.ledger.rows import ClockJumpRow, PauseRow, RunRow
from shim.model import SECOND
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import ClockJumped, MachineSlept
from shim.runtime.secrets import Secrets
from shim.runtime.time_of_day import TimeOfDay
from shim.settings.settings import settings_from
from tests.live.moved_clock import MovedClock

DAY = 86_400


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    return MovedClock(monkeypatch)


def watched(clock: MovedClock, day: TimeOfDay, seconds: int) -> list[ClockJumped | MachineSlept]:
    """What the checks of so many seconds find."""
    found = []
    for _ in range(seconds):
        clock.pause(1)
        if (event := day.check()) is not None:
            found.append(event)
    return found


def test_a_clock_that_is_right_is_followed(clock: MovedClock) -> None:
    day = TimeOfDay()
    start = day()
    assert watched(clock, day, 7200) == []
    assert day() == start + 7200 * SECOND
    assert day.ahead == 0


@pytest.mark.parametrize("by", [100 * DAY, 2 * DAY, 3600, 1.5, -1.5, -3600, -50 * 365 * DAY])
def test_a_jump_there_and_back_is_told_twice_and_changes_nothing(
    clock: MovedClock, by: float
) -> None:
    day = TimeOfDay()
    start = day()
    clock.set_wall(by)
    (there,) = watched(clock, day, 52)
    clock.set_wall(-by)
    (back,) = watched(clock, day, 52)
    assert isinstance(there, ClockJumped)
    assert isinstance(back, ClockJumped)
    assert there.by == -back.by == round(by * SECOND)
    assert there.ahead == round(by * SECOND)
    # It is followed by half a second in a thousand at most.
    assert abs(day() - start - 104 * SECOND) <= 104 * 500
    assert abs(back.ahead) <= 52 * 500


def test_two_jumps_that_cancel_each_other_between_two_checks(clock: MovedClock) -> None:
    day = TimeOfDay()
    clock.set_wall(3600)
    clock.set_wall(-3600)
    assert watched(clock, day, 10) == []


def test_a_small_difference_goes_away_and_time_never_goes_back(clock: MovedClock) -> None:
    day = TimeOfDay()
    clock.set_wall(-0.9)
    before = day()
    for _ in range(2400):
        clock.pause(1)
        assert day.check() is None
        assert 999_500 <= day() - before <= 1_000_500
        before = day()
    assert abs(day.ahead) < 10_000


@pytest.mark.parametrize("drift", [0.1, -0.1, 1.0])
def test_a_clock_that_drifts_is_told_and_not_believed(clock: MovedClock, drift: float) -> None:
    day = TimeOfDay()
    start, told = day(), 0
    for _ in range(3600):
        clock.set_wall(drift)
        told += len(watched(clock, day, 1))
    assert 1 <= told <= 21  # not once a second
    assert abs(day() - start - 3600 * SECOND) <= 3600 * 500


def test_the_machine_sleeps(clock: MovedClock) -> None:
    """Then the wall clock is right, and what happened before keeps its time."""
    day = TimeOfDay()
    start = day()
    watched(clock, day, 100)
    then = clock.now()
    clock.sleep(8 * 3600)
    (event,) = watched(clock, day, 10)
    assert isinstance(event, MachineSlept)
    assert event.length == 8 * 3600 * SECOND
    assert day() == start + (8 * 3600 + 110) * SECOND
    assert day.at(then) == start + 100 * SECOND
    assert watched(clock, day, 100) == []


async def test_a_running_shim_tells_a_jump_once(
    tmp_path: Path, clock: MovedClock, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_from(
        {"rollout": None, "ledger": f"sqlite:///{tmp_path}/shim.db"},
        monitor_types(plugin_manager()),
    )
    shim = Shim.open(settings, secrets=Secrets("", "t" * 32, "k" * 32))
    async with shim:
        await clock.move(shim, 10)
        clock.set_wall(2 * DAY)
        await clock.move(shim, 10)
        clock.sleep(60)
        await clock.move(shim, 2)
        records = shim.assembly.records
        assert await asyncio.to_thread(records.ledger.flush, 30)
        reader = shim.assembly.reader
        (jump,) = reader.rows(ClockJumpRow)
        (run,) = reader.rows(RunRow)
        assert (jump.by, jump.ahead) == (2 * DAY * SECOND, 2 * DAY * SECOND)
        assert 10 * SECOND <= jump.at - run.started_at <= 12 * SECOND
        (pause,) = reader.rows(PauseRow)
        assert pause.at - pause.since == 60 * SECOND
        metrics = records.metrics.render()[1].decode()
        assert "shim_clock_jumps_total 1.0" in metrics
        assert "shim_clock_ahead_seconds 172" in metrics
    lines = [r.message for r in caplog.records if "wall clock jumped" in r.message]
    assert len(lines) == 1
    assert "jumped ahead by 172800.0 s" in lines[0]
    assert sum("the machine slept for 60.0 s" in r.message for r in caplog.records) == 1
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_run_that_began_in_1970_is_told_so(
    tmp_path: Path, clock: MovedClock, caplog: pytest.LogCaptureFixture
) -> None:
    """At its start, in the report, and in the gate's answer; its rows count for no trial."""
    clock.set_wall(-56 * 365 * DAY)
    settings = settings_from(
        {"rollout": None, "ledger": f"sqlite:///{tmp_path}/shim.db"},
        monitor_types(plugin_manager()),
    )
    shim = Shim.open(settings, secrets=Secrets("", "t" * 32, "k" * 32))
    async with shim:
        clock.set_wall(56 * 365 * DAY)
        await clock.move(shim, 2)
        assembly = shim.assembly
        answer = await asyncio.to_thread(assembly.judge_gate, assembly.reader)
        (record,) = (one for one in answer.conditions if one.name == "record")
        assert "was not set" in str(record.missing)
        assert answer.verdict is GateVerdict.INSUFFICIENT
        assert "was not set" in str(Operations(shim, assembly, shim.logins).report(None).clock)
    assert sum("was not set" in r.message for r in caplog.records) == 1
    assert sum("wall clock jumped ahead" in r.message for r in caplog.records) == 1
