"""The kinds of store in which a ledger can be kept, by the scheme of its URL.

Nobody outside this package names a store's classes. What a fleet's store needs is imported when a URL asks
for it, and what reads a ledger, with numpy, when a ledger is read.

Rules: docs/design.md#r23, docs/design.md#r25, docs/design.md#r26, docs/design.md#r27.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shim.ledger.flags_version import FlagsInForce, FlagsVersion, PushedFlags
from shim.ledger.process_record import ProcessState, Pushed
from shim.ledger.protocols import DirectLedger, LedgerReader, LedgerWriter
from shim.ledger.rows import RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.direct_writer import DirectSqliteLedger
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import Duration, InputError
from shim.model.ledger_url import POSTGRES, LedgerUrl


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """What a process of a fleet has of its own (R23): its outbox, its name (None: one is made), its fleet's
    name, what it says of itself (R27), and up to when it has handed over all rows (None: not known now). The
    last two are asked in another thread."""

    outbox: Path
    process: str | None
    fleet: str
    state: Callable[[], ProcessState] | None = None
    handed_over_until: Callable[[], Wall | None] | None = None


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
        return FleetLedger(
            url,
            place.outbox,
            run,
            process=place.process,
            fleet=place.fleet,
            keep=keep,
            wall=wall,
            state=place.state,
            handed_over_until=place.handed_over_until,
        )
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


def push_ledger(path: Path, url: LedgerUrl, *, fleet: str | None, process: str | None) -> Pushed:
    """Bring what is new in a SQLite ledger into a fleet's store. Raises InputError."""
    with _postgres(url):
        from shim.ledger.postgres import push
    return push.push_ledger(path, url, fleet=fleet, process=process)


def prepare_store(
    url: LedgerUrl, fleet: str | None, *, writers: Iterable[str], readers: Iterable[str]
) -> str:
    """Make a fleet's store or bring it up to date, and give rights to roles; the fleet's name.

    Raises InputError.
    """
    with _postgres(url):
        from shim.ledger.postgres import push
    return push.prepare_store(url, fleet, writers=writers, readers=readers)


def check_store(url: LedgerUrl, fleet: str) -> None:
    """Raises InputError if a process of this fleet could not write to the store; nothing is changed."""
    with _postgres(url):
        from shim.ledger.postgres import push
    push.check_store(url, fleet)


def forget_process(url: LedgerUrl, name: str, *, who: str, reason: str) -> Wall | None:
    """A process of a fleet will not come back: its record counts as ended, at the time that is returned
    (None: nothing of it is in the store).

    Raises InputError, also for a process that is alive or unknown.
    """
    with _postgres(url):
        from shim.ledger.postgres import process_list
    return process_list.forget_process(url, name, who=who, reason=reason)


def push_flags(
    url: LedgerUrl,
    text: str,
    *,
    who: str,
    reason: str,
    before: str | None = None,
    seen: FlagsInForce | None = None,
) -> PushedFlags:
    """Bring a valid flags file's text into a fleet's store (R26), if the digest `before` is in force there, or
    what was `seen` there.

    Raises InputError.
    """
    with _postgres(url):
        from shim.ledger.postgres import flags_versions
    return flags_versions.push_flags(url, text, who=who, reason=reason, before=before, seen=seen)


def look_at_flags(url: LedgerUrl) -> FlagsInForce | None:
    """What is in force in a fleet's store, before a step of the plan; None: there are no flags yet.

    Raises InputError.
    """
    with _postgres(url):
        from shim.ledger.postgres import flags_versions
    return flags_versions.look_at_flags(url)


def pull_flags(url: LedgerUrl) -> FlagsVersion | None:
    """The flags in force in a fleet's store; None: there are none yet. Raises InputError."""
    return next(iter(list_flags(url, 1)), None)


def list_flags(url: LedgerUrl, limit: int) -> list[FlagsVersion]:
    """The versions of the flags in a fleet's store, newest first. Raises InputError."""
    with _postgres(url):
        from shim.ledger.postgres import flags_versions
    return flags_versions.pull_flags(url, limit)


def order_brake(url: LedgerUrl, *, engaged: bool, reason: str, who: str) -> None:
    """Give an order to a fleet's brake (R25), without any of its processes.

    Raises InputError, also if the brake stands that way already.
    """
    with _postgres(url):
        from shim.ledger.postgres import brake_orders
    brake_orders.order_brake(url, engaged=engaged, reason=reason, who=who)


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
