"""Waiting for one thing, unless another comes first."""

import asyncio
from collections.abc import Awaitable
from typing import Any


async def unless(work: Awaitable[Any], *ends: Awaitable[Any]) -> bool:
    """Do the work unless one of these ends it; answer whether it was done.

    Nothing of either is left running. Raises what the work raises.
    """
    tasks = [asyncio.ensure_future(each) for each in (work, *ends)]
    doing = tasks[0]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
