"""What the tests of whole demos ask the system: which processes there are (Linux)."""

from pathlib import Path

from tests.waiting import wait_for

PATIENCE: float = 120
"""Seconds."""


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


def wait_for_end(process: int) -> None:
    """Wait until a process has ended."""
    wait_for(lambda: not Path(f"/proc/{process}").exists(), PATIENCE, pause=0.05)
