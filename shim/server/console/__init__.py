"""The operators' side of the reference server: the API under `/api`, the dashboard, who may see what."""

from shim.server.console.admin import console_on
from shim.server.console.operations import Operations
from shim.server.console.routes import add_console, add_health

__all__ = ["Operations", "add_console", "add_health", "console_on"]
