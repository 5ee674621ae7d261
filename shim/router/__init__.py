"""The router: sends each connection to its monitors, and their decisions where they belong (R4-R6).

Rules: docs/design.md#r4, docs/design.md#r6.
"""

from shim.router.events import (
    BrakeChanged,
    ClockJumped,
    Confirmed,
    Decided,
    Event,
    GuardChanged,
    MachineSlept,
    Noted,
    Opened,
    Paused,
    ProofOfLife,
    StageChanged,
)
from shim.router.guard import Guard, GuardLimits
from shim.router.observer import Observer, handles
from shim.router.port import NO_CONFIRMATION, Port
from shim.router.requests import Budget
from shim.router.router import Router
from shim.router.tracked import Tracked

__all__ = [
    "NO_CONFIRMATION",
    "BrakeChanged",
    "Budget",
    "ClockJumped",
    "Confirmed",
    "Decided",
    "Event",
    "Guard",
    "GuardChanged",
    "GuardLimits",
    "MachineSlept",
    "Noted",
    "Observer",
    "Opened",
    "Paused",
    "Port",
    "ProofOfLife",
    "Router",
    "StageChanged",
    "Tracked",
    "handles",
]
