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

from shim.ledger.postgres.process_list import ProcessName
from shim.ledger.postgres.shipper import Shipper
from shim.ledger.process_record import ProcessState
from shim.ledger.protocols import Status
from shim.ledger.rows import BrakeRow, Row, RunRow, Wall
from shim.ledger.run_row import wall_clock
from shim.ledger.sqlite import ledger_file as file
from shim.ledger.sqlite.outbox import Outbox
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
        outbox: Path,
        run: RunRow,
        *,
        process: str | None,
        fleet: str,
        keep: Duration | None = None,
        wall: Callable[[], Wall] = wall_clock,
        state: Callable[[], ProcessState] | None = None,
        handed_over_until: Callable[[], Wall | None] | None = None,
    ) -> None:
        """Open the outbox or begin it, and start to ship.

        `process` None: the name is in SHIM_PROCESS, or is made of the host's name and a random part. Raises
        InputError for an outbox that cannot be used, and for a store that refuses.
        """
        host = socket.gethostname()
        named = process or os.environ.get(_PROCESS, "").strip()
        self.process = named or f"{host}-{token_hex(3)}"
        lock = Path(f"{outbox}-lock")
        is_new, lock_is_new = not outbox.exists(), not lock.exists()
        self._shipper = Shipper(
            url,
            Outbox(outbox),
            run,
            process=ProcessName(self.process, host),
            fleet=fleet,
            keep=keep,
            wall=wall,
            state=state,
            handed_over_until=handed_over_until,
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
            self._shipper.start(self._own.flush, _FIRST_ANSWER)
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
