"""The clock of the shims in this process, moved by the test: real sockets, and no waiting for time."""

import asyncio
from typing import Any

import pytest

from shim.ledger.run_row import wall_clock
from shim.runtime import coordinator, driver, time_of_day
from shim.runtime.coordinator import Coordinator

_STEP = 50
"""Milliseconds: less than a driver takes for a pause of the process."""

_ROUNDS = 12
"""Rounds of the event loop in each step, in which frames get from one socket to the other and back."""


class MovedClock:
    """Stands still until `move`, and the wall clock with it; to be made before the shim is.

    `rounds` of the event loop are in each step; where there are no sockets, one is enough.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rounds: int = _ROUNDS) -> None:
        self._rounds = rounds
        self._ticks = driver.ticks()
        monkeypatch.setattr(driver, "ticks", self._now)
        monkeypatch.setattr(coordinator, "ticks", self._now)
        self._slept = time_of_day.read_sleep()
        self._wall = wall_clock() - self.now()
        monkeypatch.setattr(time_of_day, "read_sleep", lambda: self._slept)
        monkeypatch.setattr(time_of_day, "wall_clock", lambda: self._wall + self.now())
        self.boot = "a start of the machine"
        monkeypatch.setattr("shim.runtime.assembly.machine_start", self._machine_start)

    def _machine_start(self) -> tuple[str, int]:
        return self.boot, self.now() + self._slept

    def _now(self) -> int:
        return self._ticks

    def now(self) -> int:
        """The shims' time, in microseconds."""
        return self._ticks // driver.TICKS

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock ahead by so much, or back."""
        self._wall += round(seconds * 1_000_000)

    def sleep(self, seconds: float) -> None:
        """The machine sleeps: the wall clock goes on, the shims' does not."""
        self._slept += round(seconds * 1_000_000)
        self._wall += round(seconds * 1_000_000)

    def pause(self, seconds: float) -> None:
        """Let so much time pass in which the process does not run."""
        self._ticks += round(seconds * 1_000_000_000)

    async def move(self, shim: Coordinator[Any], seconds: float) -> None:
        """Let so much time pass: the shim's timer rings in each step, and sockets are read and written."""
        for _ in range(round(seconds * 1000 / _STEP)):
            self._ticks += _STEP * 1_000_000
            shim.driver._on_timer()
            for _ in range(self._rounds):
                await asyncio.sleep(0)
