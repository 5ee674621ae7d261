"""What is shown while an act plays: a live picture on a terminal, plain lines where there is none."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

_LIVE_INTERVAL = 0.25


class Show(Protocol):
    """One act's looks; lines are asked for every `interval` seconds."""

    @property
    def interval(self) -> float: ...

    def heading(self) -> str:
        """Said once, at the beginning."""

    def picture(self, elapsed: float) -> RenderableType:
        """How things are after so many seconds."""

    def lines(self, elapsed: float) -> Iterable[str]:
        """What is new since the last time."""


class Screen:
    """An async context: inside it the show is kept up to date."""

    def __init__(self, show: Show, console: Console) -> None:
        self._show = show
        self._console = console
        self._started = time.monotonic()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Screen":
        self._say(self._show.heading())
        await self._stack.__aenter__()
        live = None
        if self._console.is_terminal:
            live = self._stack.enter_context(
                Live(console=self._console, auto_refresh=False, transient=True)
            )
        # Put on the stack after the picture, so that the last refresh comes before its end.
        self._stack.push_async_callback(self._stop, asyncio.create_task(self._run(live)), live)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _run(self, live: Live | None) -> None:
        while True:
            self._refresh(live)
            await asyncio.sleep(_LIVE_INTERVAL if live else self._show.interval)

    async def _stop(self, running: asyncio.Task[None], live: Live | None) -> None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        self._refresh(live)

    def _refresh(self, live: Live | None) -> None:
        elapsed = time.monotonic() - self._started
        if live:
            live.update(self._show.picture(elapsed), refresh=True)
        else:
            for line in self._show.lines(elapsed):
                self._say(line)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True, markup=False)
