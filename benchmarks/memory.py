"""The memory of this process."""

import os
from pathlib import Path


def resident() -> float:
    """Mebibytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
