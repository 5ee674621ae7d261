"""Which clients come back after which close code: measured, as data (docs/clients.md)."""

from shim.clients.client_returns import ENDINGS, ClientReturns, Ending, known_clients

__all__ = ["ENDINGS", "ClientReturns", "Ending", "known_clients"]
