"""How a test waits for what a socket, a thread or another process brings about.

Nothing tells the test of it, so the test looks again and again. No test sleeps for a fixed time and then looks:
on a busy machine everything takes longer.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any

LONGEST: float = 60
"""Seconds."""

_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.02, 0.1, 1.2
"""A look may take long, at an API for example: what has not happened soon is looked for less often."""


async def until(condition: Any, timeout: float = LONGEST, *, pause: float | None = None) -> Any:
    """Look until the condition is met; its answer then. The event loop goes on meanwhile.

    The condition is a function or a coroutine function without arguments. (mypy infers no type for a lambda
    that binds the variable of a loop as a default.) `pause` is the time between two looks; None: it grows.
    """
    pauses = _pauses(pause)
    async with asyncio.timeout(timeout):
        while True:
            met = condition()
            if inspect.isawaitable(met):
                met = await met
            if met:
                return met
            await asyncio.sleep(next(pauses))


def wait_for(
    condition: Callable[[], object], timeout: float = LONGEST, *, pause: float | None = None
) -> None:
    """The same for a test without an event loop."""
    pauses = _pauses(pause)
    ends_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends_at, f"not within {timeout:g} s"
        time.sleep(next(pauses))


def _pauses(fixed: float | None) -> Iterator[float]:
    pause = _PAUSE if fixed is None else fixed
    while True:
        yield pause
        if fixed is None:
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)
