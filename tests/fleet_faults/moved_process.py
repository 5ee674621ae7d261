"""The program `SECONDS PAUSES serve …`: a shim whose wall clock is ahead by so much, which writes down when
it did not run, and which looks for the next step of the plan every 4 s.

The clock is moved before the shim is imported, as if somebody had set the machine's. A line of the file PAUSES
is one pause as the shim noticed it (R3): its start and end, in microseconds of the machine's monotonic clock.

Rules: docs/design.md#r3.
"""

import sys
import time
from pathlib import Path

_ahead = 0
_true_time_ns = time.time_ns


def _moved_time_ns() -> int:
    return _true_time_ns() + _ahead


time.time_ns = _moved_time_ns

from shim import cli  # noqa: E402 - the clock comes first
from shim.model import Time  # noqa: E402
from shim.router import Budget, Router  # noqa: E402
from shim.runtime import flags_following  # noqa: E402


def main() -> None:
    global _ahead
    _ahead = round(float(sys.argv.pop(1)) * 1e9)
    pauses = Path(sys.argv.pop(1))
    flags_following._PROMOTION_INTERVAL = 4.0
    paused = Router.paused

    def write_pause_down(
        router: Router, start: Time, end: Time, budget: Budget | None = None
    ) -> None:
        with pauses.open("a") as file:
            file.write(f"{start} {end}\n")
        paused(router, start, end, budget)

    Router.paused = write_pause_down  # type: ignore[assignment, method-assign]
    cli.main()
