"""How a test waits for what a socket, a thread or another process brings about.

Nothing tells the test of it, so the test looks again and again. No test sleeps for a fixed time and then looks:
on a busy machine everything takes longer.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

LONGEST: float = 60
"""Seconds."""

_PAUSE = 0.02


async def until(condition: Any, timeout: float = LONGEST, *, pause: float = _PAUSE) -> Any:
    """Look each `pause` seconds, until the condition is met; its answer then. The event loop goes on meanwhile.

    The condition is a function or a coroutine function without arguments. (mypy infers no type for a lambda
    that binds the variable of a loop as a default.)
    """
    async with asyncio.timeout(timeout):
        while True:
            met = condition()
            if inspect.isawaitable(met):
                met = await met
            if met:
                return met
            await asyncio.sleep(pause)


def wait_for(
    condition: Callable[[], object], timeout: float = LONGEST, *, pause: float = _PAUSE
) -> None:
    """The same for a test without an event loop."""
    ends_at = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends_at, f"not within {timeout:g} s"
        time.sleep(pause)
