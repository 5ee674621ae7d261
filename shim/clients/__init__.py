"""Which clients come back after which close code: measured, as data (docs/clients.md)."""
