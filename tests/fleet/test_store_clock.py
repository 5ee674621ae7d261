"""R23 and R24: how exactly a process knows the store's clock, and up to when its record is complete."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.postgres.store_clock import StoreClock
from shim.ledger.postgres.store_connection import connect
from shim.ledger.process_record import FleetPlace
from shim.ledger.rows import Wall
from shim.ledger.run_row import begin_run, wall_clock
from shim.model import SECOND, Time
from shim.model.ledger_url import LedgerUrl
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime import driver
from shim.runtime.driver import Driver
from shim.runtime.fleet_member import handed_over_until
from shim.runtime.time_of_day import TimeOfDay
from shim.settings.settings import settings_from
from tests.postgres.helpers import FLEET, look, until_found
from tests.waiting import until

Store = psycopg.Connection[Any]


@pytest.fixture
def connection(store: LedgerUrl) -> Iterator[Store]:
    with closing(connect(store)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.ledger.postgres.store_clock._MEASURE_EVERY", 0)


class SlowDay:
    """A process's time of day that is `ahead` of the store's; one question to the store takes longer."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.question_takes = 0

    def __call__(self) -> Wall:
        earlier, self.question_takes = self.question_takes, 0
        return wall_clock() + self.ahead - earlier


@pytest.mark.parametrize("ahead", [0, 300_000, -3 * SECOND, 3600 * SECOND])
def test_an_answer_that_took_long_changes_nothing(connection: Store, ahead: int) -> None:
    wall = SlowDay(ahead)
    clock = StoreClock(wall)
    clock.measure(connection)
    measured = clock.offset
    assert measured is not None
    for takes in (4, 8, 20):
        wall.question_takes = takes * SECOND
        clock.measure(connection)
        assert clock.offset == pytest.approx(measured, abs=SECOND)


def test_a_clock_that_was_set_is_noticed(connection: Store) -> None:
    wall = SlowDay(0)
    clock = StoreClock(wall)
    clock.measure(connection)
    before = clock.offset
    wall.ahead = 3600 * SECOND
    clock.measure(connection)
    assert before is not None
    assert clock.offset is not None
    assert clock.offset - before < -3599 * SECOND


async def test_a_record_is_complete_up_to_what_was_handed_over(
    store: LedgerUrl, tmp_path: Path
) -> None:
    """The event loop has taken a time, and has not handed over the row yet: that may take a while."""
    run = begin_run(settings_from({}, monitor_types(plugin_manager())), wall_clock())
    handed_over: list[Wall | None] = [None]
    asked = 0

    def until_when() -> Wall | None:
        nonlocal asked
        asked += 1
        return handed_over[0]

    ledger = FleetLedger(
        store,
        run,
        FleetPlace(tmp_path / "o.db", "a", FLEET, handed_over_until=until_when),
    )
    try:
        await until(lambda: asked > 3, timeout=30)
        assert look(store, "SELECT complete_until FROM process") == [(None,)]
        handed_over[0] = run.started_at + 5
        await until_found(store, "SELECT 1 FROM process WHERE complete_until > 0", [(1,)])
        [(complete, offset)] = look(store, "SELECT complete_until, clock_offset FROM process")
        assert complete - offset == pytest.approx(run.started_at + 5, abs=1000)
    finally:
        ledger.close(5)


class Windows:
    """A router that has a window to end."""

    next_wake: Time | None = None


async def test_a_window_that_has_ended_and_was_not_told_yet() -> None:
    router = Windows()
    router.next_wake = driver.clock() + 5_000
    driving = Driver(router)  # type: ignore[arg-type]
    driving.start()
    time.sleep(0.02)  # noqa: ASYNC251 - the loop is busy until after the end of the window
    assert driving.told_until() < router.next_wake
    day = TimeOfDay()
    answer = await asyncio.to_thread(handed_over_until(driving, day))
    driving.stop()
    assert answer is not None
    assert answer < day()
