"""The present start of the machine, by which two runs on it compare their wall clocks.

Rules: docs/design.md#r23.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from shim.ledger.rows import ClockJumpRow, RunRow
from shim.model import Duration
from shim.runtime.time_of_day import JUMP


class MachineStart(NamedTuple):
    """A random id of the start, and how long ago it was."""

    boot: str | None
    uptime: Duration | None


def machine_start() -> MachineStart:
    """Both are None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return MachineStart(boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)
    except (OSError, AttributeError, ValueError):
        return MachineStart(None, None)


def find_jump_before(
    run: RunRow, earlier: RunRow, jumps: Iterable[ClockJumpRow]
) -> Duration | None:
    """By how much the wall clock jumped between two runs (negative: back); None: no jump is known.

    `jumps` are those that the earlier run told. Since another start of the machine nobody has measured the
    time; all that is known then is whether the run begins before the last row of the earlier run.
    """
    if (
        run.boot is not None
        and run.boot == earlier.boot
        and run.uptime is not None
        and earlier.uptime is not None
    ):
        told = sum(jump.by for jump in jumps if jump.at > earlier.started_at)
        by = run.started_at - earlier.started_at - (run.uptime - earlier.uptime) - told
    else:
        last = max(earlier.started_at, earlier.seen_at or 0, earlier.stopped_at or 0)
        by = min(0, run.started_at - last)
    return by if abs(by) >= JUMP else None
