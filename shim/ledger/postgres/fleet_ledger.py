"""The ledger of a process in a fleet: its own outbox, and the shipping from there.

Rules: docs/design.md#r23, docs/design.md#r24.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from time import monotonic

from shim.ledger.postgres.process_list import name_process
from shim.ledger.postgres.shipper import Shipper
from shim.ledger.process_record import FleetPlace
from shim.ledger.protocols import Status
from shim.ledger.rows import BrakeRow, Row, RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite.writer import SqliteLedger
from shim.model import Duration
from shim.model.ledger_url import LedgerUrl

_PROCESS = "SHIM_PROCESS"
"""The variable with the name of a process, where all processes have the same settings."""

_FIRST_ANSWER = 1.0
"""Seconds that a start waits for the store, so that a refusal is told at once."""


class FleetLedger:
    """`LedgerWriter` whose rows go to a SQLite outbox and from there to the fleet's store.

    `process` is the name of the process in the fleet.
    """

    def __init__(
        self,
        url: LedgerUrl,
        run: RunRow,
        place: FleetPlace,
        *,
        keep: Duration | None = None,
        wall: Callable[[], Wall] = wall_clock,
    ) -> None:
        """Open the outbox or begin it, and start to ship.

        Raises InputError for an outbox that cannot be used, and for a store that refuses.
        """
        named = place.process or os.environ.get(_PROCESS, "").strip()
        name = name_process(named or f"{socket.gethostname()}-{token_hex(3)}")
        self.process = name.name
        outbox = place.outbox
        lock = Path(f"{outbox}-lock")
        is_new, lock_is_new = not outbox.exists(), not lock.exists()
        self._shipper = Shipper(
            url, run, name, place, keep=keep, wall=wall, settle=lambda left: self._own.flush(left)
        )
        self._own = SqliteLedger(
            outbox,
            run,
            keep=keep,
            censors=False,  # what an earlier run left open, the fleet concludes (R24)
            wall=wall,
            spent=self._shipper.spent,
        )
        try:
            self._shipper.start(_FIRST_ANSWER)
        except BaseException:
            self._own.close(_FIRST_ANSWER)
            # A start that is refused leaves no file behind.
            if is_new:
                file.remove(outbox)
            if lock_is_new:
                lock.unlink(missing_ok=True)
            raise

    @property
    def brake(self) -> BrakeRow | None:
        """The last change of the brake in the outbox."""
        return self._own.brake

    def append(self, row: Row) -> None:
        self._own.append(row)

    def flush(self, timeout: float) -> bool:
        """Wait until everything handed over before is in the outbox."""
        return self._own.flush(timeout)

    def close(self, timeout: float) -> bool:
        deadline = monotonic() + timeout
        kept = self._own.close(timeout)
        self._shipper.stop(max(0.0, deadline - monotonic()))
        return kept

    def status(self) -> Status:
        return replace(self._own.status(), store=self._shipper.status())
