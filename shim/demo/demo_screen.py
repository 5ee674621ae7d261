"""What is shown while the demo runs: lines as things happen, and on a terminal a live picture below them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, nullcontext

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

_INTERVAL = 0.25


@asynccontextmanager
async def demo_screen(
    console: Console,
    lines: Callable[[float], Iterable[str]],
    picture: Callable[[float], RenderableType],
) -> AsyncIterator[None]:
    """Show lines and picture, up to date, as long as the context lasts; the picture vanishes at the end.

    Both are called with the seconds since the beginning; `lines` answers what is new.
    """
    started = time.monotonic()

    def refresh() -> None:
        elapsed = time.monotonic() - started
        print_lines(console, lines(elapsed))
        if isinstance(live, Live):
            live.update(picture(elapsed), refresh=True)

    async def keep_fresh() -> None:
        while True:
            refresh()
            await asyncio.sleep(_INTERVAL)

    with (
        Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        if console.is_terminal
        else nullcontext()
    ) as live:
        fresh = asyncio.create_task(keep_fresh())
        try:
            yield
        finally:
            fresh.cancel()
            await asyncio.wait([fresh])
            if not fresh.cancelled():
                fresh.result()
            refresh()


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print them without markup; on a terminal words stay whole, and lines keep their indentation."""
    for line in lines:
        text = line.lstrip()
        if (
            console.is_terminal
            and text
            and all(len(word) < console.width / 2 for word in text.split())
        ):
            console.print(Padding.indent(Text(text), len(line) - len(text)))
        else:
            console.print(Text(line), soft_wrap=True)
