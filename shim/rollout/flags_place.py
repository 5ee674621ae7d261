"""Where the flags are kept: a file, or the store of a fleet (R20, R26).

Rules: docs/design.md#r20, docs/design.md#r26.
"""

from abc import ABC, abstractmethod
from hashlib import sha256
from pathlib import Path

from shim.ledger import pull_flags, push_flags
from shim.model import InputError, Problem
from shim.rollout.changes import Change, record_change
from shim.rollout.writing import replace_file
from shim.settings import FlagsInStore, LedgerUrl, Settings, UnreadableError
from shim.settings.yamlfile import read_regular_file


class FlagsPlace(ABC):
    """Where one flags file's content is read and replaced."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The place, as messages name it."""

    @abstractmethod
    def read(self) -> bytes:
        """The content. Raises InputError."""

    @abstractmethod
    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        """Put this content in the place of `before`, with a record of the change.

        Raises InputError if that is not possible, or if the content has changed meanwhile.
        """


class FlagsFilePlace(FlagsPlace):
    """A file on this machine; its changes are noted beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        return read_regular_file(self.path)

    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        if self.read() != before:
            raise InputError(_changed_meanwhile(self.name))
        # The record comes first, so that it exists when the new file is seen.
        try:
            record_change(self.path, change)
        except OSError as error:
            problem = f"its record of changes cannot be written: {error.strerror}"
            raise InputError(Problem(problem, self.name)) from None
        replace_file(self.path, content)


class FlagsStorePlace(FlagsPlace):
    """The flags in the store of a fleet; the store keeps every version."""

    def __init__(self, url: LedgerUrl) -> None:
        self._url = url

    @property
    def name(self) -> str:
        return f"the flags file in {self._url}"

    def read(self) -> bytes:
        version = pull_flags(self._url)
        if version is None:
            raise UnreadableError(
                f"{self.name}: there are none yet; `shim flags push` brings a file there"
            )
        return version.text.encode()

    def replace(self, before: bytes, content: bytes, change: Change) -> None:
        digest = sha256(before).hexdigest()
        put = push_flags(
            self._url, content.decode(), who=change.by, reason=change.reason, before=digest
        )
        if not put.in_force:
            raise InputError(_changed_meanwhile(self.name))


def flags_place(settings: Settings) -> FlagsPlace | None:
    """Where these settings keep the flags; None: nowhere."""
    if isinstance(settings.rollout, FlagsInStore):
        return FlagsStorePlace(settings.ledger)
    return None if settings.rollout is None else FlagsFilePlace(settings.rollout)


def _changed_meanwhile(name: str) -> Problem:
    return Problem("has changed meanwhile; look at it again", name)
