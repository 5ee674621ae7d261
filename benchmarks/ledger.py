"""The ledger: verdicts a second, from the observer's call to the synced commit; memory; the questions."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from uuid import uuid4

from benchmarks.memory import resident
from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import RunRow
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import CAPACITY, SqliteLedger
from shim.model import (
    SECOND,
    Cause,
    Close,
    Closing,
    Connection,
    Decision,
    Kind,
    Outcome,
    Return,
    Role,
    Stage,
    Verdict,
    VerdictKind,
    VerdictName,
)
from shim.router import Decided

USERS = 200_000
_CHUNK = 1000
_FOREVER = 1 << 62


def main(verdicts: int = 1_000_000) -> None:
    with _ledger() as (observer, ledger, path):
        handing, total = _feed(ledger, min(verdicts, 100_000), _episode(observer))
        print(
            f"ledger: {total:,.0f} whole episodes/s (two decisions, action, verdict, closing, "
            f"outcome: six rows), {handing:.1f} µs each on the event loop"
        )
    with _ledger() as (observer, ledger, path):
        before = resident()
        _, early = _feed(ledger, verdicts // 10, _verdict(observer))
        middle = resident()
        handing, total = _feed(ledger, verdicts - verdicts // 10, _verdict(observer))
        print(
            f"ledger: {total:,.0f} verdicts/s, each committed and synced (the first tenth "
            f"{early:,.0f}; goal: at least 20,000), {handing:.1f} µs each on the event loop"
        )
        print(
            f"ledger: memory before {before:.0f} MiB, after {verdicts // 10:,} verdicts "
            f"{middle:.0f} MiB, after {verdicts:,} {resident():.0f} MiB; the file "
            f"{path.stat().st_size / verdicts:.0f} B a verdict"
        )
        _ask(SqliteReader(path))


@contextmanager
def _ledger() -> Iterator[tuple[LedgerObserver, SqliteLedger, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shim.db"
        run = RunRow(
            uuid=uuid4().hex,
            started_at=wall_clock(),
            pid=os.getpid(),
            version="benchmark",
            settings="",
            tolerance=16 * SECOND,
            window=60 * SECOND,
            return_window=120 * SECOND,
        )
        ledger = SqliteLedger(path, run)
        try:
            yield LedgerObserver(ledger, lambda at: at), ledger, path
        finally:
            ledger.close(60)


def _feed(ledger: SqliteLedger, count: int, tell: Callable[[int], None]) -> tuple[float, float]:
    """Microseconds that the caller spends on each, and how many a second become durable."""
    started, telling = perf_counter(), 0.0
    for chunk in range(0, count, _CHUNK):
        while ledger.status().queued > CAPACITY // 2:
            sleep(0.001)
        began = perf_counter()
        for number in range(chunk, chunk + _CHUNK):
            tell(number)
        telling += perf_counter() - began
    assert ledger.flush(600)
    assert ledger.status().dropped == 0
    return telling / count * 1e6, count / (perf_counter() - started)


def _connection(number: int) -> Connection:
    user = f"user{random.randrange(USERS)}@example.com"
    return Connection(f"c{number}", Kind.APP, user, user, "com.example.app1")


def _verdict(observer: LedgerObserver) -> Callable[[int], None]:
    def tell(number: int) -> None:
        observer.on(_matched(_connection(number), number))

    return tell


def _matched(connection: Connection, number: int) -> Verdict:
    at = wall_clock()
    return Verdict(
        connection=connection,
        order=number,
        name=VerdictName.MATCHED,
        kind=VerdictKind.BOTH,
        at=at,
        first=Role.CANDIDATE,
        control_at=at,
        candidate_at=at - 11 * SECOND,
        recovered=False,
        last_activity=at - 56 * SECOND,
        acting=Role.CONTROL,
    )


def _episode(observer: LedgerObserver) -> Callable[[int], None]:
    def tell(number: int) -> None:
        connection, at = _connection(number), wall_clock()
        pings = (at - 30 * SECOND, at - 15 * SECOND)
        effects = (Close(1001, "Connection timeout detected", 5 * SECOND),)
        decision = Decision(connection.id, at, at, 45 * SECOND, effects, pings)
        observer.on(Decided(connection, Role.CANDIDATE, decision, False))
        observer.on(Decided(connection, Role.CONTROL, decision, True))
        observer.on(_matched(connection, number))
        observer.on(
            Closing(
                connection=connection,
                stage=Stage.SHADOW,
                opened_at=0,
                at=at,
                cause=Cause.CONTROL,
                intended=None,
                observed=1006,
            )
        )
        observer.on(
            Outcome(
                connection=connection,
                role=Role.CONTROL,
                result=Return.RETURNED,
                acted_at=at,
                at=at,
                window_ends=at,
                last_activity=at,
                delay=SECOND,
            )
        )

    return tell


def _ask(reader: SqliteReader) -> None:
    for what, question in (
        (
            "every episode the gate looks at",
            lambda: reader.agreement_rows(Kind.APP, [1], 0, _FOREVER),
        ),
        ("counts by verdict", lambda: reader.counts(Kind.APP, 0, _FOREVER)),
        (
            "the newest verdicts of one user",
            lambda: reader.verdicts(VerdictFilter(user="user7@example.com")),
        ),
        ("one episode with all around it", lambda: reader.episode(1000)),
    ):
        started = perf_counter()
        question()
        print(f"ledger: {what}: {perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
