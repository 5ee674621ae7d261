"""The run of this process, as a row: what writes the ledger, and what its evidence is about.

Rules: docs/design.md#r27.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from time import time_ns
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shim import __version__
from shim.ledger.rows import RunRow, Wall
from shim.model import Duration, MonitorType
from shim.plugin.discovery import installed_plugins

if TYPE_CHECKING:
    from shim.settings.settings import Settings


def wall_clock() -> Wall:
    """Microseconds since 1970."""
    return time_ns() // 1000


def begin_run(
    settings: "Settings", started_at: Wall, boot: str | None = None, uptime: Duration | None = None
) -> RunRow:
    """This process as a row, before it is stored; `boot` and `uptime` are about the machine's start."""
    comparison = settings.comparison
    monitors, compared = _describe_monitors(settings), repr(comparison)
    return RunRow(
        uuid=uuid4().hex,
        started_at=started_at,
        pid=os.getpid(),
        version=__version__,
        settings=_digest([monitors, compared]),
        tolerance=comparison.tolerance,
        window=comparison.window,
        return_window=comparison.return_window,
        monitors=_digest(monitors),
        comparison=_digest(compared),
        boot=boot,
        uptime=uptime,
    )


def shared_settings_digest(settings: "Settings") -> str:
    """A digest of the settings that should be the same in every process of a fleet (R27): what decides about
    verdicts, the gate, the brake, the guard and the plan."""
    sections = (
        settings.comparison,
        settings.gate,
        settings.brake,
        settings.guard,
        settings.promotion,
    )
    # Pydantic would warn that widths are of another class than the section that reads them.
    dumped = [section.model_dump(mode="json", warnings=False) for section in sections]
    return _digest([_describe_monitors(settings), *dumped, settings.clients, settings.retention])


def _describe_monitors(settings: "Settings") -> dict[str, Any]:
    """Both monitors: names, settings, and the versions of the distributions that they come from."""
    monitors = settings.monitors
    return {
        role: choice and [choice.type.name, _version_of(choice.type), asdict(choice.settings)]
        for role, choice in (("control", monitors.control), ("candidate", monitors.candidate))
    }


def _version_of(monitor_type: MonitorType) -> str:
    """The distribution that offers a monitor, with its version; empty where none is installed."""
    return _versions().get(type(monitor_type).__module__.partition(".")[0], "")


@cache
def _versions() -> Mapping[str, str]:
    """The distributions with their versions, by the packages of their plugins: a process finds them once."""
    return {
        point.module.partition(".")[0]: f"{point.dist.name} {point.dist.version}"
        for point in reversed(installed_plugins())  # of two, the first is imported
        if point.dist is not None
    }


def _digest(facts: Any) -> str:
    """16 hex digits that change when the facts do."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
