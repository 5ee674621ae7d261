"""The digest of the settings that the monitors had when a capture was written."""

from hashlib import sha256

import msgspec

from shim.settings import MonitorChoice, Settings


def settings_digest(settings: Settings) -> str:
    """The SHA-256 of the settings that decide about verdicts (monitors and comparison), with defaults."""
    monitors = settings.monitors
    told = [
        _told(monitors.control),
        _told(monitors.candidate),
        settings.comparison.model_dump(mode="json"),
    ]
    return f"sha256:{sha256(msgspec.json.encode(told, order='sorted')).hexdigest()}"


def _told(choice: MonitorChoice | None) -> object:
    return None if choice is None else (choice.plugin, choice.settings)
