"""The ledger that a command reads: that of `--ledger`, or else that of the settings."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shim.cli.common import PATH, read_settings
from shim.cli.terminal import echo
from shim.ledger.completeness import Completeness, format_completeness
from shim.ledger.protocols import LedgerReader, UnusableError
from shim.ledger.stores import read_ledger
from shim.model.ledger_url import POSTGRES, LedgerUrl

if TYPE_CHECKING:
    from shim.settings.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])


def ledger_option(help: str) -> Callable[[F], F]:
    """`--ledger`: a SQLite file, or the URL of a ledger."""
    return click.option("--ledger", type=_read_place, metavar="PATH", help=help)


def _read_place(text: str) -> LedgerUrl:
    # A URL with a slip in it may contain a password: no error may quote it as the name of a file.
    is_url = "://" in text or re.match(rf"({'|'.join(POSTGRES)})(:|//)", text)
    return LedgerUrl(text) if is_url else LedgerUrl.of_file(Path(text))


def one_place(ledger: object, url: str | None) -> None:
    """Refuse two places that are asked at once: `ledger` is what another option names."""
    if ledger is not None and url is not None:
        raise click.UsageError("--url asks a running shim: leave --ledger out")


def store_options(command: F) -> F:
    """`--config` and `--ledger`: where the store of a fleet is."""
    config = click.option("--config", type=PATH, help="The settings file, which names the store.")
    ledger = ledger_option("The store, instead of the one in the settings: postgresql://…")
    return config(ledger(command))


def store_of(config: Path | None, ledger: LedgerUrl | None) -> LedgerUrl:
    """The store that these options name. Raises InputError for settings that are not valid."""
    if ledger is not None:
        return ledger
    if config is None:
        raise click.UsageError("name the store, with --ledger or with --config")
    return read_settings(config).ledger


@contextmanager
def ledger_of(settings: "Settings", given: LedgerUrl | None = None) -> Iterator[LedgerReader]:
    """The ledger `given` on the command line, or else that of the settings.

    Raises InputError; if the settings name a ledger that cannot be used, the error names their key.
    """
    if given is not None:
        with closing(read_ledger(given)) as reader:
            yield reader
        return
    with (
        settings.origin.of("ledger", errors=UnusableError),
        closing(read_ledger(settings.ledger)) as reader,
    ):
        yield reader


def echo_record(record: Completeness | None) -> None:
    """Print how far the record of a fleet goes; None: there is no fleet, or its store does not say."""
    for line in format_completeness(record):
        echo(line)
