"""How the work grows with the number of connections, in calls of functions: no clock decides (R21)."""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.virtual_connection import VirtualConnection
from shim.capture.recorder import Limits, Recorder
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import everyone_at
from shim.model import SECOND, Kind, Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.runtime import handover
from shim.runtime.coordinator import Coordinator
from shim.settings.settings import settings_from

FEW, MANY = 100, 1_000
TENFOLD = MANY / FEW
STEADY = {
    "control": {"plugin": "legacy-global", "timeout": "3h"},
    "candidate": {"plugin": "per-session", "timeout": "3h"},
}


class Calls:
    number = 0


@contextmanager
def counted() -> Iterator[Calls]:
    """Count the calls, of Python's functions and of built-in ones."""
    calls = Calls()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        calls.number += event in ("call", "c_call")

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)
        gc.enable()


class Service:
    """A shim whose time stands still but for what a test does with it."""

    def __init__(self, count: int, folder: Path) -> None:
        self.stage = Stage.SHADOW
        settings = settings_from({"monitors": STEADY}, monitor_types(plugin_manager()))
        self.shim: Coordinator[VirtualConnection] = Coordinator(settings, self.evaluate)
        self.recorder = Recorder(
            folder / "capture.jsonl",
            Limits(),
            pseudonym=str,
            settings="digest",
            start=self.shim.started,
            interval=None,
            clock=lambda: 0,  # so an opening is made in one slice
            wall=lambda time: time,
            call_at=lambda when, callback: None,
        )
        self.shim.start(recorder=self.recorder)
        self.lives = [self.open(number) for number in range(count)]

    def evaluate(self, user: str) -> Evaluation:
        return everyone_at(self.stage).evaluate(user)

    def open(self, number: int) -> VirtualConnection:
        user = f"u{number // 2}"
        kind, package = (Kind.APP, "com.example.app") if number % 2 else (Kind.GLASSES, None)
        return self.shim.register(partial(VirtualConnection, self.shim), kind, user, user, package)

    def touch(self) -> None:
        live = self.lives[0]
        live.touch(live.tracked)

    def pong(self) -> None:
        self.lives[0].saw_pong(b"")

    def open_another(self) -> None:
        self.shim.driver.stop()  # whether its timer comes too late depends on the time
        self.open(1_000_000)

    def hurry(self) -> None:
        self.shim.driver.hurry()

    def close(self) -> None:
        self.lives[0].release()

    def measure_coverage(self) -> None:
        self.shim._coverage.measure(self.shim.clock())

    def count_open(self) -> None:
        self.shim.census.open(stage=Stage.SHADOW)

    def sweep(self) -> None:
        self.shim.router.step_control(self.shim.started + 15 * SECOND)

    def beat(self) -> None:
        self.shim.router.step_candidate(self.shim.started + 16 * SECOND)

    def pause(self) -> None:
        self.shim.router.paused(self.shim.started, self.shim.started + SECOND)

    def begin_capture(self) -> None:
        self.recorder._sink.finish(self.recorder._end_line(0))
        self.recorder._begin_file(0)

    async def move(self) -> None:
        self.stage = Stage.COMPLETE
        self.shim.reassess()
        await self.shim.handover.finished()


Work = Callable[[Service], Any]


@pytest.fixture(autouse=True)
def one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many slices the work takes depends on the machine."""
    monkeypatch.setattr(handover, "begin_slice", lambda: lambda: False)


async def calls_of(work: Work, count: int, folder: Path) -> int:
    service = Service(count, folder)
    try:
        with counted() as calls:
            done = work(service)
            if asyncio.iscoroutine(done):
                await done
        return calls.number
    finally:
        service.shim.stop()


@pytest.mark.parametrize(
    "work",
    [
        Service.touch,
        Service.pong,
        Service.open_another,
        Service.hurry,
        Service.close,
        Service.measure_coverage,
        Service.count_open,
    ],
    ids=lambda work: work.__name__,
)
async def test_this_does_not_depend_on_the_number_of_connections(
    work: Work, tmp_path: Path
) -> None:
    few = await calls_of(work, FEW, tmp_path)
    many = await calls_of(work, MANY, tmp_path)
    assert 0 < many <= few + 20  # the timer may have to be set anew


@pytest.mark.parametrize(
    "work",
    [Service.sweep, Service.beat, Service.pause, Service.begin_capture, Service.move],
    ids=lambda work: work.__name__,
)
async def test_this_is_proportional_to_the_number_of_connections(
    work: Work, tmp_path: Path
) -> None:
    few = await calls_of(work, FEW, tmp_path)
    many = await calls_of(work, MANY, tmp_path)
    assert few > FEW / 10
    assert many < 1.1 * TENFOLD * few


def test_the_count_sees_what_grows() -> None:
    with counted() as calls:
        for _ in range(100):
            len("")
    assert calls.number >= 100
