"""The operators' side of the reference server: the API under `/api`, the dashboard, who may see what."""

from shim.console.api.routes import add_console, add_health
from shim.console.listener import console_on
from shim.console.operations import Operations

__all__ = ["Operations", "add_console", "add_health", "console_on"]
