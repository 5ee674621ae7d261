"""The ledger that a command reads: that of `--ledger`, or else that of the settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from shim.ledger import LedgerReader, UnusableError, read_ledger
from shim.settings import LedgerUrl, Settings

F = TypeVar("F", bound=Callable[..., Any])


def ledger_option(help: str) -> Callable[[F], F]:
    """`--ledger`: a SQLite file, or the URL of a ledger."""
    return click.option("--ledger", callback=_read_place, metavar="PATH", help=help)


def _read_place(
    context: click.Context, option: click.Parameter, text: str | None
) -> LedgerUrl | None:
    if text is None:
        return None
    return LedgerUrl(text) if "://" in text else LedgerUrl.of_file(Path(text))


@contextmanager
def ledger_of(settings: Settings, given: LedgerUrl | None = None) -> Iterator[LedgerReader]:
    """The ledger `given` on the command line, or else that of the settings.

    Raises InputError; if the settings name a ledger that cannot be used, the error names their key.
    """
    if given is not None:
        yield read_ledger(given)
        return
    with settings.origin.of("ledger", errors=UnusableError):
        yield read_ledger(settings.ledger)
