"""The per-session health monitor as a plugin of the shim: each user session owns one.

Rules: docs/design.md#r2.
"""

from collections.abc import Iterable

from shim.hooks import hookimpl
from shim.model import MonitorType, Scope, Time
from shim_per_session.session_monitor import PerSessionMonitor
from shim_per_session.session_monitor_settings import PerSessionSettings

__all__ = ["PerSession", "PerSessionMonitor", "PerSessionSettings", "shim_monitor_types"]


class PerSession:
    """Makes one monitor for each user session (R2)."""

    name = "per-session"
    scope = Scope.SESSION
    Settings = PerSessionSettings

    def create(self, settings: PerSessionSettings, scope_id: str, start: Time) -> PerSessionMonitor:
        return PerSessionMonitor(settings, scope_id, start)


@hookimpl
def shim_monitor_types() -> Iterable[MonitorType]:
    """What the shim asks for: the types of monitors that this plugin has."""
    return [PerSession()]
