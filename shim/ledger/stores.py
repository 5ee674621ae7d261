"""The kinds of store in which a ledger can be kept, by the scheme of its URL.

Nobody outside this package names a store's classes. A new store is a package beside
`shim.ledger.sqlite` that does what `shim.ledger.protocols` says, and a line in the table here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shim.ledger.protocols import DirectLedger, LedgerReader, LedgerWriter
from shim.ledger.rows import RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.direct_writer import DirectSqliteLedger
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import Duration, InputError
from shim.settings import LedgerUrl


@dataclass(frozen=True, slots=True)
class _Store:
    """How one kind of store is written, written without a thread, and read."""

    write: Callable[[LedgerUrl, RunRow, Duration | None, Callable[[], Wall]], LedgerWriter]
    write_directly: Callable[[LedgerUrl, RunRow], DirectLedger]
    read: Callable[[LedgerUrl], LedgerReader]


_STORES: Mapping[str, _Store] = {
    "sqlite": _Store(
        write=lambda url, run, keep, wall: SqliteLedger(url.path, run, keep=keep, wall=wall),
        write_directly=lambda url, run: DirectSqliteLedger(url.path, run),
        read=lambda url: SqliteReader(url.path),
    )
}


def open_ledger(
    url: LedgerUrl,
    run: RunRow,
    *,
    keep: Duration | None = None,
    wall: Callable[[], Wall] = wall_clock,
) -> LedgerWriter:
    """Open the ledger to write, or begin it, for this run of the process (`begin_run`).

    Rows older than `keep` are deleted, in small steps; `wall` is the run's time of day. Raises
    InputError when the store cannot be used: it is another process's, not a ledger (it is left as it
    is), a newer shim's, or cannot be written.
    """
    return _store(url).write(url, run, keep, wall)


def open_direct_ledger(url: LedgerUrl, run: RunRow) -> DirectLedger:
    """The same for a caller who may wait until rows are committed, such as a simulation."""
    return _store(url).write_directly(url, run)


def read_ledger(url: LedgerUrl) -> LedgerReader:
    """The ledger to read. Nothing is opened yet: each question opens it, and may raise InputError."""
    return _store(url).read(url)


def _store(url: LedgerUrl) -> _Store:
    if (store := _STORES.get(url.scheme)) is None:
        raise InputError(f"{url}: a ledger's URL must begin with one of: {', '.join(_STORES)}")
    return store
