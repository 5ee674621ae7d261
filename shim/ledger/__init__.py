"""The ledger: the durable record of what the shim found out.

The shim hands rows to a `LedgerWriter` through a `LedgerObserver`; who wants to know something asks a
`LedgerReader`. `open_ledger` and `read_ledger` are the doors, whatever the kind of store.
"""

from shim.ledger.ledger_observer import LedgerObserver
from shim.ledger.protocols import (
    DirectLedger,
    EpisodeReader,
    LedgerReader,
    LedgerWriter,
    Page,
    Status,
    UnusableError,
    VerdictFilter,
)
from shim.ledger.run_row import begin_run, wall_clock
from shim.ledger.stores import (
    FleetPlace,
    check_store,
    forget_process,
    list_flags,
    look_at_flags,
    open_direct_ledger,
    open_ledger,
    order_brake,
    prepare_store,
    pull_flags,
    push_flags,
    push_ledger,
    read_ledger,
)

__all__ = [
    "DirectLedger",
    "EpisodeReader",
    "FleetPlace",
    "LedgerObserver",
    "LedgerReader",
    "LedgerWriter",
    "Page",
    "Status",
    "UnusableError",
    "VerdictFilter",
    "begin_run",
    "check_store",
    "forget_process",
    "list_flags",
    "look_at_flags",
    "open_direct_ledger",
    "open_ledger",
    "order_brake",
    "prepare_store",
    "pull_flags",
    "push_flags",
    "push_ledger",
    "read_ledger",
    "wall_clock",
]
