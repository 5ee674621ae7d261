"""What a running shim knows of its membership in a fleet, without the library of the store.

Rules: docs/design.md#r23, docs/design.md#r25, docs/design.md#r27.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from shim.ledger.rows import Wall
from shim.model import Time
from shim.runtime.driver import Driver
from shim.runtime.time_of_day import TimeOfDay

_ANSWER_TAKES = 1.0
"""Seconds that the shipping of rows waits for the event loop."""


class SharedBrake(Protocol):
    """The brake of a fleet (docs/design.md#r25)."""

    async def release(self, reason: str) -> None:
        """Release it for every process. Raises InputError if that cannot be done."""


class FleetMember(Protocol):
    """The membership of this process in its fleet."""

    @property
    def brake(self) -> SharedBrake | None:
        """None: without a control there is no brake."""

    @property
    def leads(self) -> bool:
        """Whether this process judges the brake for all processes at present."""

    @property
    def concluded_age(self) -> float:
        """How long ago the time ends up to which the fleet's outcomes are concluded, in seconds."""

    @property
    def problem(self) -> str | None:
        """Why the fleet cannot be reached; None: it can."""


def handed_over_until(driver: Driver, wall: TimeOfDay) -> Callable[[], Wall | None]:
    """A function that says, in any other thread, up to when all rows were handed to the ledger (R23).

    A row is handed over in the callback that gives it its time. So only the event loop knows this, between two
    callbacks; while it is busy, or over, the answer is None. To be called in the running loop.
    """
    loop = asyncio.get_running_loop()

    def ask() -> Wall | None:
        answer: Future[Time] = Future()
        try:
            loop.call_soon_threadsafe(lambda: answer.set_result(driver.told_until()))
            return wall.at(answer.result(_ANSWER_TAKES))
        except (TimeoutError, RuntimeError):
            return None

    return ask
