"""The router: sends each connection to its monitors, and their decisions where they belong (R4-R6)."""

from shim.router.events import Observer
from shim.router.guard import Guard, GuardLimits
from shim.router.port import NO_CONFIRMATION, Port
from shim.router.router import Router
from shim.router.tracked import Tracked

__all__ = ["NO_CONFIRMATION", "Guard", "GuardLimits", "Observer", "Port", "Router", "Tracked"]
