"""The operators' side of the reference server: the API under `/api`, the dashboard, who may see what."""

from shim.server.console.operations import Operations
from shim.server.console.routes import add_console

__all__ = ["Operations", "add_console"]
