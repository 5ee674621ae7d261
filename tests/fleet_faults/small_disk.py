"""A disk of its own, so small that a test can fill it; only root can mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PIECE = 1 << 20


class SmallDisk:
    """`folder` is on it. `can_be_filled` is false where no disk could be mounted: the folder is a usual one."""

    def __init__(self, folder: Path, *, can_be_filled: bool) -> None:
        self.folder = folder
        self.can_be_filled = can_be_filled
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no byte."""
        with suppress(OSError), self._ballast.open("ab", buffering=0) as ballast:
            piece = bytes(_PIECE)
            while True:
                written = ballast.write(piece)
                piece = piece[:written]

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield SmallDisk(folder, can_be_filled=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
