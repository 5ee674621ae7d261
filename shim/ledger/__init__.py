"""The ledger: the durable record of what the shim found out.

The shim hands rows to a `LedgerWriter` through a `LedgerObserver`; whoever wants to know something asks
a `LedgerReader`. Both are embedded SQLite here.
"""

from shim.ledger.direct import DirectLedger
from shim.ledger.observer import LedgerObserver
from shim.ledger.reader import SqliteReader
from shim.ledger.run import describe, wall_clock
from shim.ledger.schema import UnusableError
from shim.ledger.store import LedgerReader, LedgerWriter, Page, Status, VerdictFilter
from shim.ledger.writer import SqliteLedger

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
