"""`kill -9` in the middle of writing: no acknowledged row is lost, and none is torn."""

import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from shim.ledger import SqliteReader, VerdictFilter
from shim.ledger.rows import RunRow
from tests.ledger.helpers import NOW, ledger, verdict

KILLS = 20
VERDICTS = 10_000

WRITER = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from shim.ledger import SqliteLedger
    from tests.ledger.helpers import RUN, verdict

    ledger = SqliteLedger(Path(sys.argv[1]), RUN)
    print(0, flush=True)
    for number in range(int(sys.argv[2])):
        ledger.append(verdict(number))
        if number % 100 == 99:
            # What is said here is acknowledged: committed, by the ledger's own account.
            print(ledger.status().written, flush=True)
    ledger.flush(60)
    print(ledger.status().written, flush=True)
    """
)


@pytest.mark.real
def test_no_acknowledged_row_is_lost(tmp_path: Path) -> None:
    chance = random.Random(0)
    in_the_middle = 0
    for kill in range(KILLS):
        path = tmp_path / f"shim{kill}.db"
        acknowledged = write_and_kill(path, chance.randrange(1, VERDICTS))
        with ledger(path, RunRow(NOW + 1, 1, "v", "s", 1, 2, 3)) as writer:
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
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(VERDICTS)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = 0
    with process:
        for line in process.stdout:
            acknowledged = int(line)
            if acknowledged >= enough:
                os.kill(process.pid, signal.SIGKILL)
                break
        # What it still said before it died counts, too: but for a last line that is torn itself.
        for line in process.stdout:
            if line.endswith("\n"):
                acknowledged = int(line)
    return acknowledged
