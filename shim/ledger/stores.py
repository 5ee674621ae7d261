"""The kinds of store in which a ledger can be kept, by the scheme of its URL.

Nobody outside this package names a store's classes. What a fleet's store needs is imported when a URL asks
for it, and what reads a ledger, with numpy, when a ledger is read.

Rules: docs/design.md#r23, docs/design.md#r27.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shim.ledger.process_record import FleetPlace
from shim.ledger.protocols import DirectLedger, LedgerReader, LedgerWriter
from shim.ledger.rows import RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.direct_writer import DirectSqliteLedger
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import Duration, InputError
from shim.model.ledger_url import POSTGRES, LedgerUrl

if TYPE_CHECKING:
    from shim.ledger.postgres.fleet_store import FleetStore


def open_ledger(
    url: LedgerUrl,
    run: RunRow,
    *,
    keep: Duration | None = None,
    wall: Callable[[], Wall] = wall_clock,
    place: FleetPlace | None = None,
) -> LedgerWriter:
    """Open the ledger to write, or begin it, for this run of the process (`begin_run`).

    Rows older than `keep` are deleted, in small steps; `wall` is the run's time of day; `place` is needed
    for a fleet's store. Raises InputError when the ledger cannot be used: it is another process's, not a
    ledger (it is left as it is), a newer shim's, or cannot be written, or the store refuses. A store that
    does not answer is no error.
    """
    if _is_fleets(url):
        if place is None:
            raise InputError(f"{url}: a process writes to a fleet's store through an outbox")
        with _postgres(url):
            from shim.ledger.postgres.fleet_ledger import FleetLedger
        return FleetLedger(url, run, place, keep=keep, wall=wall)
    return SqliteLedger(_path(url), run, keep=keep, wall=wall)


def open_direct_ledger(url: LedgerUrl, run: RunRow) -> DirectLedger:
    """The same for a caller who may wait until rows are committed, such as a simulation."""
    return DirectSqliteLedger(_path(url), run)


def read_ledger(url: LedgerUrl) -> LedgerReader:
    """The ledger to read. Nothing is opened yet: each question opens it, and may raise InputError."""
    if _is_fleets(url):
        with _postgres(url):
            from shim.ledger.postgres.store_reader import PostgresReader
        return PostgresReader(url)
    from shim.ledger.sqlite.reader import SqliteReader

    return SqliteReader(_path(url))


def fleet_store(url: LedgerUrl) -> "FleetStore":
    """A fleet's store, for what is done with it without any of its processes. Raises InputError for another
    kind of ledger."""
    with _postgres(url):
        from shim.ledger.postgres.fleet_store import FleetStore
    return FleetStore(url)


def _is_fleets(url: LedgerUrl) -> bool:
    """Whether the ledger is a fleet's store. Raises InputError for what is no ledger's URL."""
    if fault := url.fault:
        raise InputError(f"the URL of a ledger {fault}")
    return url.scheme in POSTGRES


def _path(url: LedgerUrl) -> Path:
    if _is_fleets(url):
        raise InputError(f"{url}: only a SQLite file can be used here")
    return url.path


@contextmanager
def _postgres(url: LedgerUrl) -> Iterator[None]:
    if not _is_fleets(url):
        raise InputError(f"{url}: this needs the store of a fleet, postgresql://…")
    try:
        yield
    except ImportError as error:
        raise InputError(
            "a ledger in PostgreSQL needs the extra `postgres` "
            f"(pip install 'monitor-migration-shim[postgres]'): {error}"
        ) from None
