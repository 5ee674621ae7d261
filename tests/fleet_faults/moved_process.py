"""`python -m tests.fleet_faults.moved_process SECONDS serve …`: a shim whose wall clock is ahead by so much.

The clock is moved before the shim is imported, as if somebody had set the machine's.
"""

import sys
import time

_AHEAD = round(float(sys.argv.pop(1)) * 1e9)
_true_time_ns = time.time_ns


def _moved_time_ns() -> int:
    return _true_time_ns() + _AHEAD


time.time_ns = _moved_time_ns

from shim.cli import main  # noqa: E402 - the clock comes first

if __name__ == "__main__":
    main()
