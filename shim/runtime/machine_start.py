"""The present start of the machine, by which two runs on it compare their wall clocks.

Rules: docs/design.md#r23.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import ClockJumpRow, RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.model import Duration
from shim.model.time import CLOCK_UNSET_BEFORE
from shim.runtime.time_of_day import JUMP


def machine_start() -> tuple[str | None, Duration | None]:
    """A random id of the start, and how long ago it was; None and None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    except (OSError, AttributeError, ValueError):
        return None, None


def find_jump_before(
    run: RunRow, earlier: RunRow, jumps: Iterable[ClockJumpRow]
) -> Duration | None:
    """By how much the wall clock jumped between two runs (negative: back); None: no jump is known.

    `jumps` are those that the earlier run told. Since another start of the machine nobody has measured the
    time; all that is known then is whether the run begins before the last row of the earlier run.
    """
    if run.uptime is not None and earlier.uptime is not None and run.boot == earlier.boot:
        told = sum(jump.by for jump in jumps if jump.at > earlier.started_at)
        by = run.started_at - earlier.started_at - (run.uptime - earlier.uptime) - told
    else:
        by = min(0, run.started_at - _last_sign(earlier))
    return by if abs(by) >= JUMP else None


def time_of_record(ledger: LedgerReader, own: Wall) -> Wall:
    """The time by which the rows of a running shim's ledger go: the store's clock in a fleet, and else its
    `own` time. Raises InputError."""
    now = ledger.fleet().now
    return own if now is None else now


def present_time(ledger: LedgerReader) -> Wall:
    """The time of day for a question about a ledger from outside of its run. Raises InputError.

    The wall clock of who asks may be wrong. In a fleet the time is that of the store. On the machine of the
    newest run, the time is that run's own; elsewhere it is at least that of the run's last row, so that no
    row is left out as one of the future.
    """
    stores = ledger.fleet().now
    wall = wall_clock() if stores is None else stores
    run = next(iter(ledger.rows(RunRow, limit=1)), None)
    if run is None or run.started_at < CLOCK_UNSET_BEFORE:
        return wall
    boot, uptime = machine_start()
    if stores is None and run.uptime is not None and uptime is not None and run.boot == boot:
        wall = run.started_at + uptime - run.uptime
    return max(wall, _last_sign(run))


def _last_sign(run: RunRow) -> Wall:
    return max(run.started_at, run.seen_at or 0, run.stopped_at or 0)
