"""The ledger: the durable record of what the shim found out.

The shim hands rows to a `LedgerWriter` through a `LedgerObserver`; whoever wants to know something asks
a `LedgerReader`. Both are embedded SQLite here.
"""

from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.protocols import LedgerReader, LedgerWriter, Page, Status, VerdictFilter
from shim.ledger.run_row import describe, wall_clock
from shim.ledger.sqlite.direct_writer import DirectLedger
from shim.ledger.sqlite.reader import SqliteReader
from shim.ledger.sqlite.schema import UnusableError
from shim.ledger.sqlite.writer import SqliteLedger

__all__ = [
    "DirectLedger",
    "LedgerObserver",
    "LedgerReader",
    "LedgerWriter",
    "Page",
    "SqliteLedger",
    "SqliteReader",
    "Status",
    "UnusableError",
    "VerdictFilter",
    "describe",
    "wall_clock",
]
