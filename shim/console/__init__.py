"""The console for operators: the dashboard, the API under `/api`, the metrics, and the access to them."""

from shim.console.console_app import add_health, console_app
from shim.console.listener import serve_console
from shim.console.operations import Operations

__all__ = ["Operations", "add_health", "console_app", "serve_console"]
