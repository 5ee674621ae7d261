"""Where captures are, and what stands in them."""

from pathlib import Path

from shim.capture.format import Event
from shim.replay.capture_reader import CaptureReader


def captures(folder: Path) -> list[Path]:
    """The files that were captured, in the order of their start."""
    return sorted(folder.glob("capture-*.jsonl"))


def read(path: Path) -> list[Event]:
    with path.open("rb") as file:
        return list(CaptureReader(file, path))
