"""A SQLite ledger as an outbox (R23)."""

from pathlib import Path

import pytest

from shim.ledger.protocols import UnusableError
from shim.ledger.rows import RunRow, VerdictRow
from shim.ledger.sqlite.outbox import Outbox
from tests.ledger.helpers import DAY, NOW, ledger, run, verdict

EARLIER, OWN, OTHER = run(NOW - DAY), run(NOW), run(NOW + DAY)


def write(path: Path, *runs: RunRow) -> None:
    """A file with these runs; their numbers are those of their order, and each has one verdict."""
    path.unlink(missing_ok=True)
    for of in runs:
        with ledger(path, of) as writer:
            writer.append(verdict(connection=of.uuid))


def test_a_file_that_takes_the_place_of_the_outbox(tmp_path: Path) -> None:
    """Whatever number the run has there, its own rows are shipped, or none."""
    path = tmp_path / "o.db"
    outbox = Outbox(path)
    write(path, EARLIER, OWN)
    _, own = outbox.runs()
    for runs in ((EARLIER, OWN), (OWN, OTHER)):
        write(path, *runs)
        ((_, connection, *_),) = outbox.parcel(own, 0, 9, 0).tables[VerdictRow]
        assert connection == OWN.uuid
    write(path, EARLIER, OTHER)
    with pytest.raises(UnusableError, match="has been replaced: a run is not in it any more"):
        outbox.parcel(own, 0, 9, 0)
