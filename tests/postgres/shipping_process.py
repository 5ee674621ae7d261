"""A process that ships its rows, and the connections whose rows are in the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shim.ledger.postgres.fleet_ledger import FleetLedger
from shim.ledger.process_record import FleetPlace
from shim.ledger.rows import RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.model.ledger_url import LedgerUrl
from tests.ledger.helpers import run
from tests.postgres.helpers import FLEET, look


@contextmanager
def process(
    store: LedgerUrl,
    outbox: Path,
    of: RunRow | None = None,
    *,
    name: str | None = None,
    wall: Callable[[], Wall] = wall_clock,
) -> Iterator[FleetLedger]:
    place = FleetPlace(outbox, name or outbox.stem, FLEET)
    ledger = FleetLedger(store, of or run(wall_clock()), place, wall=wall)
    try:
        yield ledger
    finally:
        ledger.close(10)


def connections(store: LedgerUrl) -> list[str]:
    return [name for (name,) in look(store, "SELECT connection FROM verdict ORDER BY run, number")]
