"""The ledger's file: its lock, the check that the file is still the one that was opened, and how a wrong
file is moved aside."""

import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from shim.model import InputError

_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("", "-wal", "-shm")
"""What SQLite appends to a database's name for the files that belong to it."""


class MovedError(OSError):
    """The ledger's file is gone, or another file is in its place."""


class OverwrittenError(OSError):
    """The ledger's file does not begin like a database any more."""


class Lock:
    """One writer per ledger, for as long as its process lives.

    It is a file of its own (`<ledger>-lock`) that stays behind: SQLite's locks on the database would
    not survive our opening and closing it.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = Path(f"{ledger}-lock")
        while True:
            self._descriptor, self._is_new = _opened(self._path)
            self._take(ledger)
            if not _moved(self._path, self._descriptor):
                break
            # Its maker withdrew it between our opening and our locking it: it keeps nobody out.
            os.close(self._descriptor)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _take(self, ledger: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise InputError(
                f"{ledger} is being written by process {owner or 'unknown'}; "
                "each process needs a ledger of its own"
            ) from None

    def release(self) -> None:
        os.close(self._descriptor)

    def withdraw(self) -> None:
        """Release the lock, and delete its file if this lock made the file."""
        if self._is_new:
            self._path.unlink(missing_ok=True)
        self.release()


class Identity:
    """Remembers which file was opened; holds it open, so that its number cannot be used again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY)

    def check(self) -> None:
        """Raises MovedError or OverwrittenError if the file is not the one that was opened."""
        if _moved(self._path, self._descriptor):
            raise MovedError(f"{self._path} was moved, replaced or deleted")
        if os.pread(self._descriptor, len(_MAGIC), 0) != _MAGIC:
            raise OverwrittenError(f"{self._path} was overwritten")

    def close(self) -> None:
        """To be called after the database's own closing: it drops all of this process's locks."""
        os.close(self._descriptor)


def create(path: Path) -> None:
    """Make the file if there is none, for its owner alone: it names users. SQLite's companions of it
    get the same permissions."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def remove(path: Path) -> None:
    """Delete the file, with its companions."""
    for companion in _COMPANIONS:
        Path(f"{path}{companion}").unlink(missing_ok=True)


def set_aside(path: Path) -> Path | None:
    """Rename what is at the path, with its companions; answer the new name, if anything was there."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    found = path.exists()
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{companion}", f"{aside}{companion}")
    return aside if found else None


def _opened(path: Path) -> tuple[int, bool]:
    """Open the file, and make it if there is none; answer whether it was made."""
    with suppress(FileExistsError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), True
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600), False


def _moved(path: Path, descriptor: int) -> bool:
    """Whether another file than the open one, or none, is at the path."""
    try:
        return not os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return True
