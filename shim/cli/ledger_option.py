"""The ledger that a command on the evidence reads."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shim.ledger import SqliteReader, UnusableError
from shim.settings import Settings


@contextmanager
def ledger_of(settings: Settings, given: Path | None = None) -> Iterator[SqliteReader]:
    """The ledger `given` on the command line, else the settings', whose key a file that cannot be used
    is blamed on."""
    if given is not None:
        yield SqliteReader(given)
        return
    with settings.origin.of("ledger", errors=UnusableError):
        yield SqliteReader(settings.ledger.path)
