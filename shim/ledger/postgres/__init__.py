"""The store of a fleet: one PostgreSQL database for all processes of a service (R23).

Only `shim.ledger.stores` and the command `shim ledger` import this package, when a ledger's URL asks for it:
it needs the extra `postgres`.

Rules: docs/design.md#r23.
"""
