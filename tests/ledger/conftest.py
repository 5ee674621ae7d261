"""The file of a ledger, and a router whose events are recorded there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.sqlite.reader import SqliteReader
from tests.ledger.helpers import NOW, ledger
from tests.ledger.recorded import Recorded
from tests.router.helpers import World


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger can be; there is nothing yet."""
    return tmp_path / "shim.db"


@pytest.fixture
def recorded(path: Path) -> Iterator[Recorded]:
    """A router whose observer is the ledger's, from NOW on."""
    world = World()
    with ledger(path) as writer:
        observer = LedgerObserver(writer, lambda at: NOW + at)
        world.observers.add(observer)

        class Flushed(SqliteReader):
            """Reads only when all that was handed over is there."""

            @property
            def path(self) -> Path:
                assert writer.flush(30)
                return path

            @path.setter
            def path(self, value: Path) -> None: ...

        yield Recorded(world, observer, Flushed(path))
