"""The legacy health monitor as a plugin of the shim: one instance that watches every connection.

Rules: docs/design.md#r1.
"""

from collections.abc import Iterable

from shim.hooks import hookimpl
from shim.model import MonitorType, Scope, Time
from shim_legacy_global.global_monitor import LegacyGlobalMonitor, LegacySettings

__all__ = ["LegacyGlobal", "LegacyGlobalMonitor", "LegacySettings", "shim_monitor_types"]


class LegacyGlobal:
    """Makes the one monitor of the process (R1)."""

    name = "legacy-global"
    scope = Scope.PROCESS
    Settings = LegacySettings

    def create(self, settings: LegacySettings, scope_id: str, start: Time) -> LegacyGlobalMonitor:
        return LegacyGlobalMonitor(settings, start)


@hookimpl
def shim_monitor_types() -> Iterable[MonitorType]:
    """What the shim asks for: the types of monitors that this plugin has."""
    return [LegacyGlobal()]
