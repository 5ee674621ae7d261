"""Settings and flags files: read strictly, every mistake told with its line and column."""

from shim.settings.durations import format_duration, parse_duration
from shim.settings.ledger_url import LedgerUrl
from shim.settings.monitors import MonitorChoice
from shim.settings.rolloutfile import LoadedRollout, load_rollout, parse_rollout
from shim.settings.settings import Settings, load_flags, load_settings, settings_from
from shim.settings.yamlfile import UnreadableError

__all__ = [
    "LedgerUrl",
    "LoadedRollout",
    "MonitorChoice",
    "Settings",
    "UnreadableError",
    "format_duration",
    "load_flags",
    "load_rollout",
    "load_settings",
    "parse_duration",
    "parse_rollout",
    "settings_from",
]
