"""The run of this process, as a row: what writes the ledger, and what its evidence is about."""

import hashlib
import json
import os
from dataclasses import asdict
from time import time_ns
from typing import Any

from shim import __version__
from shim.ledger.rows import RunRow, Wall
from shim.settings import Settings


def wall_clock() -> Wall:
    """Microseconds since 1970."""
    return time_ns() // 1000


def begin_run(settings: Settings, started_at: Wall) -> RunRow:
    """This process as a row, before it is stored."""
    comparison = settings.comparison
    return RunRow(
        started_at=started_at,
        pid=os.getpid(),
        version=__version__,
        settings=_digest(settings),
        tolerance=comparison.tolerance,
        window=comparison.window,
        return_window=comparison.return_window,
    )


def _digest(settings: Settings) -> str:
    """Changes when the monitors or what counts as agreement or return do. (Expected rules do not
    change the meaning of what was recorded before.)"""
    comparison, monitors = settings.comparison, settings.monitors
    facts: dict[str, Any] = {
        "tolerance": comparison.tolerance,
        "window": comparison.window,
        "return_window": comparison.return_window,
    }
    for role, choice in (("control", monitors.control), ("candidate", monitors.candidate)):
        facts[role] = choice and [choice.type.name, asdict(choice.settings)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
