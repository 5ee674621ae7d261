"""Which clients come back after which close code: measured, as data (docs/clients.md)."""

from shim.clients.client_returns import ENDINGS, ClientReturns, Delay, Ending, known_clients
from shim.clients.ending_effect import EndingEffect, codes_for_all, effect_of

__all__ = [
    "ENDINGS",
    "ClientReturns",
    "Delay",
    "Ending",
    "EndingEffect",
    "codes_for_all",
    "effect_of",
    "known_clients",
]
