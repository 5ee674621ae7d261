"""What the tests of whole demos ask the system: which processes there are (Linux)."""

import time
from collections.abc import Callable
from pathlib import Path

_PATIENCE = 120


def children_of(parent: int) -> list[int]:
    """The living children of a process."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            children.append(int(stat.parent.name))
    return children


def gone(process: int) -> bool:
    """Whether a process ends in good time."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if not Path(f"/proc/{process}").exists():
            return True
        time.sleep(0.05)
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until this is so."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
