"""The ledger: the durable record of what the shim found out.

The shim hands rows to a `LedgerWriter` through a `LedgerObserver`; who wants to know something asks a
`LedgerReader`. `open_ledger` and `read_ledger` are the doors, whatever the kind of store.
"""
