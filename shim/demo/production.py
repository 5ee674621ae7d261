"""What both acts share: the options, where to show what happens, and when to stop."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from shim.demo.crew import Crew
from shim.demo.log import LastLines
from shim.demo.scenario import TIMEOUT
from shim.demo.serving import HOST, Served
from shim.demo.story import Story

ACT_ONE = 38 / 60
"""The share of the time that belongs to act one."""

_LAGS = 4
"""So many times the longest lag is the shortest timeout at which healthy clients are safe."""


@dataclass(frozen=True, slots=True)
class Options:
    """`port` 0 is any free one; `trace_url` is where a trace is seen (`telemetry.trace_url`)."""

    seconds: float
    users: int
    factor: float
    port: int
    keep: bool
    trace_url: str | None = None


@dataclass(frozen=True, slots=True)
class Production:
    """`folder` is gone afterwards; `interrupted` is set when somebody wants an end of it."""

    options: Options
    console: Console
    folder: Path
    log: LastLines
    interrupted: asyncio.Event

    def slowed(self, lag: float) -> "Production":
        """The same at a pace at which clients live through a process that does not run for so long."""
        if not lag:
            return self
        factor = min(self.options.factor, TIMEOUT / (_LAGS * lag))
        return replace(self, options=replace(self.options, factor=factor))

    def crew(self, stories: Sequence[Story], served: Served) -> Crew:
        """The clients of these stories, for this server."""
        return Crew(
            stories,
            host=HOST,
            port=served.port,
            factor=self.options.factor,
            jwt_secret=served.shim.assembly.secrets.jwt_secret,
        )
