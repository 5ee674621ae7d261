"""Where the flags are kept: a file, or the store of a fleet (R20, R26).

Rules: docs/design.md#r20, docs/design.md#r26.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from shim.ledger.flags_version import FlagsInForce, describe_missing_flags
from shim.ledger.stores import fleet_store
from shim.model import InputError, Problem
from shim.model.ledger_url import LedgerUrl
from shim.rollout.changes import Change, record_change
from shim.rollout.writing import replace_file
from shim.settings.settings import FlagsInStore, Settings
from shim.settings.yamlfile import UnreadableError, read_regular_file


class ChangedMeanwhileError(InputError):
    """Something else is in force than what was looked at."""


class FlagsPlace(ABC):
    """Where one flags file's content is read and replaced, by one caller.

    Content that was in force, then was not, and is again, is another version: a process that looked at the
    first one does not know why the content was taken back.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The place, as messages name it."""

    @abstractmethod
    def read(self) -> bytes:
        """The content. Raises InputError."""

    @abstractmethod
    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        """Put this content in the place of `before`, which was read last, with a record of the change.

        Raises ChangedMeanwhileError if that is not in force any more, and InputError if this is not possible.
        """


class FlagsFilePlace(FlagsPlace):
    """A file on this machine; its changes are noted beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        content = read_regular_file(self.path)
        # Without the file nothing is replaced.
        with suppress(OSError):
            found = self.path.stat()
            self._seen = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        return content

    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        seen = self._seen
        if self.read() != before or self._seen != seen:
            raise _changed_meanwhile(self.name)
        # The record comes first, so that it exists when the new file is seen.
        try:
            record_change(self.path, change)
        except OSError as error:
            problem = f"its record of changes cannot be written: {error.strerror}"
            raise InputError(Problem(problem, self.name)) from None
        replace_file(self.path, content)


class FlagsStorePlace(FlagsPlace):
    """The flags in the store of a fleet; the store keeps every version.

    An order to the fleet's brake counts as a change, too: a process that stood still does not know of it.
    """

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url
        self._seen: FlagsInForce | None = None

    @property
    def name(self) -> str:
        return f"the flags file in {self._url}"

    def read(self) -> bytes:
        self._seen = fleet_store(self._url).look_at_flags()
        if self._seen is None:
            raise UnreadableError(describe_missing_flags(self._url))
        return self._seen.version.text.encode()

    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        digest = sha256(before).hexdigest()
        put = fleet_store(self._url).push_flags(
            content.decode(),
            who=change.by,
            reason=change.reason,
            before=digest,
            seen=self._seen,
        )
        if not put.in_force:
            raise _changed_meanwhile(f"{self.name}, or the fleet's brake")


def flags_place(settings: Settings) -> FlagsPlace | None:
    """Where these settings keep the flags; None: nowhere."""
    if isinstance(settings.rollout, FlagsInStore):
        return FlagsStorePlace(settings.ledger)
    return None if settings.rollout is None else FlagsFilePlace(settings.rollout)


def _changed_meanwhile(name: str) -> ChangedMeanwhileError:
    return ChangedMeanwhileError(Problem("has changed meanwhile; look at it again", name))
