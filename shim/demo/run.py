"""The demo: two acts, each with a server here and a fleet in a second process, and a checked summary."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from shim.demo.actone import ActOne, play_act_one
from shim.demo.log import captured_log
from shim.demo.production import Options, Production
from shim.demo.rollout.act import play_act_two
from shim.demo.waiting import unless

_INTERRUPTED = 130


def run(options: Options, console: Console) -> int:
    """Play the demo; answer its exit code."""
    return asyncio.run(_run(options, console))


async def _run(options: Options, console: Console) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="shim-demo-") as folder,
        captured_log() as log,
        _signals() as interrupted,
    ):
        production = Production(options, console, Path(folder), log, interrupted)
        code = await _play(production)
        if code is None:
            console.print("interrupted; nothing more was checked")
            return _INTERRUPTED
        return code


async def _play(production: Production) -> int | None:
    """Both acts; answer the exit code, None if somebody interrupted."""
    console, keep = production.console, production.options.keep
    async with AsyncExitStack() as stack:
        one = await play_act_one(stack, production)
        if one is None:
            return None
        one.summary.show(console)
        if not keep:
            await stack.aclose()
        console.print()
        two = await play_act_two(production.slowed(one.crew.lag))
        if two is None:
            return None
        two.show(console)
        console.print()
        if one.mismatch is not None:
            one.mismatch.show(console, kept=keep)
        ok = one.summary.ok and two.ok
        _conclude(console, ok)
        if keep:
            await _stay(production, one)
    return 0 if ok else 1


def _conclude(console: Console, ok: bool) -> None:
    if ok:
        console.print("\nok: both acts went as they had to", style="green")
    else:
        console.print("\nFAILED: see above", style="bold red")


async def _stay(production: Production, one: ActOne) -> None:
    """Go on with the server and the fleet of act one."""
    for line in (
        f"\nAct one is still running. Dashboard: {one.served.url}; Ctrl-C ends it.",
        f"The operator's token: SHIM_OPERATOR_TOKEN={one.served.shim.assembly.secrets.operator_token}",
    ):
        production.console.print(line, highlight=False, soft_wrap=True)
    await unless(production.interrupted.wait(), one.crew.died())


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """Set by Ctrl-C, and by whoever ends this process kindly."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, interrupted.set)
    try:
        yield interrupted
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
