"""A fleet for people: its processes as a table, who is behind, and in what they differ (R27).

Rules: docs/design.md#r27.
"""

from collections.abc import Iterator

from msgspec.structs import replace
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from shim.cli.common import rough
from shim.cli.terminal import plain
from shim.ledger.completeness import describe_completeness, format_completeness
from shim.ledger.fleet_record import (
    FleetRecord,
    format_clocks,
    format_differences,
    format_forgotten,
    is_off,
    is_silent,
)
from shim.ledger.process_record import ProcessRecord
from shim.model import Stage, seconds

_DIFFERING = ("version", "settings", "flags")
"""Columns that a narrow output has no room for: the lines below the table say what differs."""

_STATES = ("brake", "record ends")
_NUMBERS = ("to ship", "clock", *map(str, reversed(Stage)))
_ROOMY = 120
"""Columns of the terminal."""


def render_fleet(fleet: FleetRecord) -> Iterator[RenderableType]:
    """The lines about a fleet; nothing about a shim that runs alone."""
    if fleet.name is None:
        return
    heading = Text.assemble(("fleet     ", "bold"), plain(fleet.name))
    heading.append(f"  {len(fleet.processes)} processes")
    if fleet.brake is not None and fleet.brake.engaged:
        order = f"  BRAKE by {fleet.brake.process}: {fleet.brake.reason}"
        heading.append_text(plain(order, "bold white on red"))
    yield heading
    yield _ProcessTable(fleet)
    first, *behind = format_completeness(describe_completeness(replace(fleet, forgotten=[])))
    yield plain(first)
    for line in (*behind, *format_clocks(fleet), *format_differences(fleet)):
        yield plain(line, "bold red")
    for line in format_forgotten(fleet):
        yield plain(line, "dim")


class _ProcessTable:
    """The processes, as a table of the width that there is."""

    def __init__(self, fleet: FleetRecord) -> None:
        self._fleet = fleet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        differing = _DIFFERING if options.max_width >= _ROOMY else ()
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("process", overflow="fold")
        for name in (*differing, *_STATES):
            table.add_column(name, no_wrap=True)
        for name in _NUMBERS:
            table.add_column(name, no_wrap=True, justify="right")
        for process in self._fleet.processes:
            facts = (
                plain((getattr(process, name) or "-")[: None if name == "version" else 8])
                for name in differing
            )
            table.add_row(_name(self._fleet, process), *facts, *_cells(self._fleet, process))
        yield table


def _name(fleet: FleetRecord, process: ProcessRecord) -> Text:
    # A name that was made begins with the host, and a pod has the name of its host.
    host = "" if process.name.startswith(process.host) else f" on {process.host}"
    name = plain(f"{process.name}{host}", "" if process.alive else "dim")
    if fleet.now is not None and is_silent(fleet, process):
        silence = rough(seconds(fleet.now - process.seen_at))
        name.append_text(plain(f" silent for {silence}", "bold red"))
    return name


def _cells(fleet: FleetRecord, process: ProcessRecord) -> Iterator[Text]:
    yield _BRAKE[process.brake]
    yield plain(_format_end(fleet, process), "bold red" if process.name in fleet.behind else "")
    yield plain(f"{process.waiting:,}")
    offset = process.clock_offset
    yield plain(
        "-" if offset is None else f"{seconds(offset):+.1f} s",
        "bold red" if is_off(process) else "",
    )
    counts = process.connections or {}
    for stage in map(str, reversed(Stage)):
        yield plain(f"{counts[stage]:,}" if stage in counts else "-")


_BRAKE = {None: Text("-"), False: Text("released"), True: Text("engaged", "bold red")}


def _format_end(fleet: FleetRecord, process: ProcessRecord) -> str:
    """How long ago the record of a process ends."""
    if fleet.now is None or process.complete_until is None:
        return "not known yet"
    ended = "" if process.alive else "ended, "
    ago = rough(max(0.0, seconds(fleet.now - process.complete_until)))
    return f"{ended}{ago} ago"
