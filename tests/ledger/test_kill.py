"""`kill -9` in the middle of writing: no acknowledged row is lost, and none is torn."""

import multiprocessing
import random
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from shim.ledger.protocols import VerdictFilter
from shim.ledger.rows import RunRow
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.writer import SqliteLedger
from tests.ledger.helpers import NOW, RUN, ledger, run, verdict

KILLS = 20
VERDICTS = 10_000


def write(path: Path, told: Connection) -> None:
    """What runs in the process to be killed: it says how many rows are acknowledged."""
    writer = SqliteLedger(path, RUN)
    for number in range(VERDICTS):
        writer.append(verdict(number))
        if number % 50 == 49:
            told.send(writer.status().written)
        if number % 1000 == 999:
            writer.flush(60)


@pytest.mark.real
def test_no_acknowledged_row_is_lost(tmp_path: Path) -> None:
    chance = random.Random(0)
    in_the_middle = 0
    for kill in range(KILLS):
        path = tmp_path / f"shim{kill}.db"
        acknowledged = write_and_kill(path, chance.randrange(1, VERDICTS - 1000))
        with ledger(path, run(NOW + 1, pid=1)) as writer:
            writer.append(verdict(VERDICTS + 1))
            assert writer.flush(30)
        rows = SqliteReader(path).verdicts(VerdictFilter(), limit=2 * VERDICTS).rows[1:]
        # All that was acknowledged and perhaps a little more, in order, nothing left out.
        assert len(rows) >= acknowledged
        rows.reverse()
        for number, row in enumerate(rows):
            assert row.values() == verdict(number).values()
        in_the_middle += 0 < len(rows) < VERDICTS
        assert SqliteReader(path).rows(RunRow)[-1].stopped_at is None
    assert in_the_middle >= KILLS // 2


def write_and_kill(path: Path, enough: int) -> int:
    """Kill the writer when it has acknowledged `enough` rows; answer what it had acknowledged last."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.ledger.helpers"])
    told, telling = processes.Pipe(duplex=False)
    process = processes.Process(target=write, args=(path, telling))
    process.start()
    telling.close()
    acknowledged = 0
    try:
        while acknowledged < enough:
            acknowledged = told.recv()
        process.kill()
        while True:  # what it still said before it died counts, too
            acknowledged = told.recv()
    except (EOFError, OSError):
        return acknowledged
    finally:
        told.close()
        process.join()
        process.close()
