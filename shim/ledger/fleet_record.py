"""A fleet as its store knows it: the processes, in what they differ, and the order to their brake.

Rules: docs/design.md#r16, docs/design.md#r22, docs/design.md#r23, docs/design.md#r25, docs/design.md#r27.
"""

from collections.abc import Iterable

import msgspec

from shim.ledger.json_record import JsonRecord
from shim.ledger.process_record import ProcessRecord
from shim.ledger.rows import Wall
from shim.model import Duration, seconds

BEHIND_AFTER: Duration = 60_000_000
"""A process is behind when its record ends so long ago, in microseconds."""

LARGE_OFFSET: Duration = 500_000
"""A clock that is further away from the store's is told, in microseconds."""

DEPLOY = (
    "a deploy, which ends, or a fault; while monitors, comparison or flags differ there is no trial: a trial "
    "begins when the last old process is gone"
)
"""What it means if processes differ (R16)."""

_COMPARED = ("version", "settings", "flags")


class FleetOrder(JsonRecord, frozen=True, kw_only=True):
    """An order to the brake (R22, R25); the process, or the person, `process` gave it (None: not known)."""

    engaged: bool
    reason: str
    process: str | None
    at: Wall


class Variant(JsonRecord, frozen=True, kw_only=True):
    """A value that some processes have, and their names; None: these processes have no flags file."""

    value: str | None
    processes: list[str]


class FleetDifference(JsonRecord, frozen=True, kw_only=True):
    """Something in which the processes of a fleet differ: `version`, `settings` or `flags`.

    The variant that most processes have comes first.
    """

    what: str
    variants: list[Variant]


class FleetRecord(JsonRecord, frozen=True, kw_only=True):
    """The fleet (R27), as of `now` by the store's clock; `ALONE` stands for a shim without a fleet.

    Attributes:
        name: the name of the fleet; None: there is no fleet.
        brake: the order in force; None: there never was an order.
        processes: those that are alive, and those that have ended and whose rows are not all in the store.
        differing: in what the processes differ that were heard of within a minute; empty: in nothing.
        behind: the names of the processes whose record ends more than a minute ago.
        forgotten: the processes that were forgotten within a day, and have not come back.
    """

    name: str | None
    now: Wall | None
    brake: FleetOrder | None
    processes: list[ProcessRecord]
    differing: list[FleetDifference]
    behind: list[str]
    forgotten: list[ProcessRecord] = msgspec.field(default_factory=list)


ALONE = FleetRecord(name=None, now=None, brake=None, processes=[], differing=[], behind=[])


def describe_fleet(
    name: str, now: Wall, brake: FleetOrder | None, listed: Iterable[ProcessRecord]
) -> FleetRecord:
    """The fleet whose list of processes this is."""
    listed = list(listed)
    processes = [process for process in listed if process.alive or process.waiting]
    # What a dead process had in force differs from nothing any more.
    running = [one for one in processes if one.alive and one.seen_at > now - BEHIND_AFTER]
    differences = (_compare(what, running) for what in _COMPARED)
    return FleetRecord(
        name=name,
        now=now,
        brake=brake,
        processes=processes,
        differing=[difference for difference in differences if difference is not None],
        behind=[process.name for process in processes if is_behind(process, now)],
        forgotten=[process for process in listed if process.forgotten is not None],
    )


def is_behind(process: ProcessRecord, now: Wall) -> bool:
    """Whether the record of a process ends more than a minute ago, or has not begun."""
    return process.complete_until is None or process.complete_until < now - BEHIND_AFTER


def is_silent(fleet: FleetRecord, process: ProcessRecord) -> bool:
    """Whether a process that is listed as alive was not heard of for a minute."""
    return fleet.now is not None and process.alive and process.seen_at < fleet.now - BEHIND_AFTER


def is_off(process: ProcessRecord) -> bool:
    """Whether the clock of a process is far away from that of the store (R23)."""
    return process.clock_offset is not None and abs(process.clock_offset) > LARGE_OFFSET


def format_clocks(fleet: FleetRecord) -> list[str]:
    """A line about the clocks that are far away from that of the store; empty: there are none."""
    off = [
        f"{process.name} is {abs(seconds(offset)):.1f} s {'behind' if offset > 0 else 'ahead'}"
        for process in fleet.processes
        if (offset := process.clock_offset) is not None and is_off(process)
    ]
    return [f"clocks are not that of the store: {', '.join(off)}"] if off else []


def format_forgotten(fleet: FleetRecord) -> list[str]:
    """A line for each process that was forgotten: by whom, and why."""
    return [
        f"{process.name} was forgotten by {process.forgotten.who}: {process.forgotten.reason}"
        for process in fleet.forgotten
        if process.forgotten is not None
    ]


def format_differences(fleet: FleetRecord) -> list[str]:
    """What the processes differ in, a line each, with the names of the processes, and what that means."""
    lines = []
    for difference in fleet.differing:
        those = "; ".join(map(_format_variant, difference.variants))
        owner = "" if difference.what == "version" else "their "
        lines.append(f"the processes differ in {owner}{difference.what}: {those}")
    if lines:
        lines.append(DEPLOY)
    return lines


def _format_variant(variant: Variant) -> str:
    verb = "has" if len(variant.processes) == 1 else "have"
    value = "no flags" if variant.value is None else variant.value[:12]
    return f"{', '.join(variant.processes)} {verb} {value}"


def _compare(what: str, processes: Iterable[ProcessRecord]) -> FleetDifference | None:
    """How those processes differ that have said something of themselves; None: not at all."""
    names: dict[str | None, list[str]] = {}
    for process in processes:
        if process.settings is not None:
            names.setdefault(getattr(process, what), []).append(process.name)
    if len(names) < 2:
        return None
    commonest = sorted(names.items(), key=lambda item: -len(item[1]))
    return FleetDifference(
        what=what,
        variants=[Variant(value=value, processes=those) for value, those in commonest],
    )
