"""The ledger's file: its lock, the check that the file is still the one that was opened, and how a wrong
file is moved aside."""

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from shim.model import InputError

_MAGIC = b"SQLite format 3\0"
_LOCK_BYTE = 0x40000000 + 0x10000
"""Beside the 512 bytes from 0x40000000 on, which SQLite locks."""

_COMPANIONS = ("", "-wal", "-shm")
"""What SQLite appends to a database's name for the files that belong to it."""


class MovedError(OSError):
    """The ledger's file is gone, or another file is in its place."""


class OverwrittenError(OSError):
    """The ledger's file does not begin like a database any more."""


class ReplacedError(OSError):
    """What the ledger's file holds is not what this process wrote: another ledger, or an older copy."""


class TakenError(InputError):
    """Another process writes the ledger."""


class Lock:
    """One writer per name of a ledger, for as long as its process lives.

    It is a file of its own (`<ledger>-lock`) that stays behind, with the number of the process. `Identity`
    has the lock of the ledger's file itself, which may have several names.
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
            if not _is_lock_file(self._descriptor):
                raise InputError(
                    f"{self._path} has something in it that is no lock of a ledger: move it away"
                )
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise TakenError(_describe_writer(ledger, f"process {owner or 'unknown'}")) from None
        except InputError:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        os.close(self._descriptor)

    def withdraw(self) -> None:
        """Release the lock, and delete its file if this lock made the file."""
        if self._is_new:
            self._path.unlink(missing_ok=True)
        self.release()


class Identity:
    """Remembers which file was opened, and keeps other processes from writing to it by another name.

    It holds the file open, so that its number cannot be used again. The lock belongs to this opening of the
    file, and lies beside the bytes that SQLite locks: neither is in the other's way.
    """

    def __init__(self, path: Path) -> None:
        """Raises TakenError if another process writes the file, under whatever name."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            self._take()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _take(self) -> None:
        if (command := getattr(fcntl, "F_OFD_SETLK", None)) is None:
            return  # only Linux has locks that belong to an opening; the lock by name is there everywhere
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCK_BYTE, 1, 0)
        try:
            fcntl.fcntl(self._descriptor, command, wanted)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                writer = "another process, which knows the file by another name"
                raise TakenError(_describe_writer(self._path, writer)) from None
            # A file system without such locks: the lock by name has to do.

    def check(self) -> None:
        """Raises MovedError or OverwrittenError if the file is not the one that was opened."""
        if _moved(self._path, self._descriptor):
            raise MovedError(f"{self._path} was moved, replaced or deleted")
        if os.pread(self._descriptor, len(_MAGIC), 0) != _MAGIC:
            raise OverwrittenError(f"{self._path} was overwritten")

    def last_change(self) -> tuple[int, int]:
        """Something that changes when the file is written."""
        status = os.fstat(self._descriptor)
        return status.st_mtime_ns, status.st_size

    def close(self) -> None:
        """To be called after the database's own closing: it drops all of this process's locks."""
        os.close(self._descriptor)


class Companions:
    """Remembers which files SQLite keeps beside the ledger: its write-ahead log and the log's index."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = self._find()

    def check(self) -> None:
        """Raises MovedError if a companion is not the one that was there: what is in ours nobody else reads."""
        if self._find() != self._numbers:
            raise MovedError(f"a file that belongs to {self._path} was moved, replaced or deleted")

    def remove(self) -> None:
        """Delete those that are still ours: what is at the path now must not be read with them."""
        for companion, number in self._find().items():
            if number is not None and number == self._numbers[companion]:
                Path(f"{self._path}{companion}").unlink(missing_ok=True)

    def _find(self) -> dict[str, tuple[int, int] | None]:
        return {
            companion: _number(Path(f"{self._path}{companion}")) for companion in _COMPANIONS[1:]
        }


def _number(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _describe_writer(ledger: Path, writer: str) -> str:
    return f"{ledger} is being written by {writer}; each process needs a ledger of its own"


def check_kind(path: Path) -> None:
    """Raises InputError for a pipe, a folder or a device where the ledger or a companion should be."""
    for companion in _COMPANIONS:
        name = Path(f"{path}{companion}")
        with suppress(OSError):
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise InputError(f"{name} is no regular file: it cannot be used as a ledger")


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
    """Rename what is at the path, with its companions; answer the new name, if anything was there.

    A link stays, and what it leads to is renamed.
    """
    path = path.resolve()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.corrupt-{stamp}")
    found = path.exists()
    for companion in _COMPANIONS:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{companion}", f"{aside}{companion}")
    return aside if found else None


def _opened(path: Path) -> tuple[int, bool]:
    """Open the file, and make it if there is none; answer whether it was made.

    Raises OSError for a link: what is behind it is not ours.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_EXCL, 0o600), True
    return os.open(path, flags, 0o600), False


def _is_lock_file(descriptor: int) -> bool:
    """Whether the file has nothing in it but the number of a process: it is about to be written over."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    content = os.pread(descriptor, 32, 0)
    return not content or (content.rstrip(b"\n").isdigit() and len(content) < 32)


def _moved(path: Path, descriptor: int) -> bool:
    """Whether another file than the open one, or none, is at the path."""
    try:
        return not os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return True
