"""The provenance of a capture: which settings the live monitors had."""

from hashlib import sha256

import msgspec

from shim.settings import MonitorChoice, Settings


def settings_digest(settings: Settings) -> str:
    """The SHA-256 of what decides about verdicts, defaults included: the monitors, the comparison."""
    monitors = settings.monitors
    told = [
        _told(monitors.control),
        _told(monitors.candidate),
        settings.comparison.model_dump(mode="json"),
    ]
    return f"sha256:{sha256(msgspec.json.encode(told, order='sorted')).hexdigest()}"


def _told(choice: MonitorChoice | None) -> object:
    return None if choice is None else (choice.plugin, choice.settings)
