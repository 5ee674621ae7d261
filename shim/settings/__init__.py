"""Settings and flags files: read strictly; every mistake is reported with its line and column."""

from shim.model.ledger_url import POSTGRES, LedgerUrl
from shim.settings.durations import format_duration, parse_duration
from shim.settings.flags_file import FlagsFile, load_flags_file, parse_flags
from shim.settings.monitors import MonitorChoice
from shim.settings.settings import FlagsInStore, Settings, load_flags, load_settings, settings_from
from shim.settings.yamlfile import UnreadableError

__all__ = [
    "POSTGRES",
    "FlagsFile",
    "FlagsInStore",
    "LedgerUrl",
    "MonitorChoice",
    "Settings",
    "UnreadableError",
    "format_duration",
    "load_flags",
    "load_flags_file",
    "load_settings",
    "parse_duration",
    "parse_flags",
    "settings_from",
]
