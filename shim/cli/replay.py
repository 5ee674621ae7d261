"""`shim replay`: what the monitors would have decided on a captured day."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from shim.cli.common import input_errors, json_option
from shim.compare import ExpectedRules
from shim.discovery import monitor_types, plugin_manager
from shim.model import InputError, Monitors, Role, seconds
from shim.replay import CaptureReader, Replay, ReplayResult, ReplaySettings
from shim.replay.capture import Event
from shim.replay.engine import CaptureError
from shim.settings import load_settings

_LONG = 20_000_000
"""Bytes from which a capture gets a progress bar."""

_MOST_ROWS = 100
"""Verdicts shown to people; `--json` has them all."""


@click.command()
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), help="Settings to judge by.")
@click.option(
    "--acting",
    type=click.Choice(["control", "candidate", "none"]),
    default="control",
    show_default=True,
    help="The monitor whose closings take effect.",
)
@json_option
@input_errors
def replay(capture: Path, config: Path | None, acting: str, as_json: bool) -> None:
    """Replay the CAPTURE file through both monitors, in virtual time."""
    settings = load_settings(config, monitor_types(plugin_manager()))
    if settings.monitors.control is None:
        raise InputError("a replay compares two monitors; these settings have no monitors.control")
    control, candidate = settings.monitors.control, settings.monitors.candidate
    try:
        with capture.open("rb") as file:
            reader = CaptureReader(file, capture)
            today = reader.started or datetime.now(UTC).date()
            expected = ExpectedRules(settings.comparison.expected, today)
            engine = Replay(
                ReplaySettings(
                    Monitors(
                        (control.type, control.settings), (candidate.type, candidate.settings)
                    ),
                    settings.comparison.tolerance,
                    settings.comparison.window,
                    settings.comparison.return_window,
                    expected,
                ),
                None if acting == "none" else Role(acting),
            )
            try:
                engine.feed(_with_progress(reader, os.fstat(file.fileno()).st_size))
            except CaptureError as error:
                raise reader.error(error.reason, error.path) from None
            if not engine.ended:
                raise reader.error("the capture has no end; is the file truncated?")
    except OSError as error:
        raise InputError(f"{capture}: {error.strerror}") from None
    for rule in expected.expired:
        click.echo(
            f"expected rule {rule.name!r} expired on {rule.until}: it matched nothing", err=True
        )
    for failure in engine.result.failures:
        click.echo(f"the {failure.role} failed in {failure.call}: {failure.reason}", err=True)
    if as_json:
        json.dump(engine.result.as_dict(), sys.stdout)
        click.echo()
    else:
        _show(engine.result)


def _with_progress(reader: CaptureReader, size: int) -> Iterator[Event]:
    if size < _LONG or not sys.stderr.isatty():
        yield from reader
        return
    columns = (TextColumn("replay"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=size)
        for number, event in enumerate(reader):
            if not number % 50_000:
                progress.update(task, completed=reader.bytes_read)
            yield event


def _show(result: ReplayResult) -> None:
    console = Console()
    summary = Table("", *(name.replace("_", " ") for name in result.summary()), box=None)
    summary.add_row("", *(str(count) for count in result.summary().values()))
    console.print(summary)
    for name, count in result.rules.items():
        console.print(f"expected by rule {name!r}: {count}")
    for role, outcomes in result.as_dict()["outcomes"].items():
        if outcomes["acted"]:
            counts = ", ".join(f"{count} {name}" for name, count in outcomes.items())
            console.print(f"closed by the {role}: {counts}")
    rows = result.rows()
    if not rows:
        return
    table = Table("at", "connection", "verdict", "kind", "control", "candidate", "skew")
    for verdict in rows[:_MOST_ROWS]:
        times = (verdict.control_at, verdict.candidate_at, verdict.skew)
        table.add_row(
            f"{seconds(verdict.at):g}",
            verdict.connection.id,
            verdict.name.value,
            verdict.kind.value + (", recovered" if verdict.recovered else ""),
            *("-" if time is None else f"{seconds(time):g}" for time in times),
        )
    console.print(table)
    if len(rows) > _MOST_ROWS:
        console.print(f"… and {len(rows) - _MOST_ROWS} more; --json has them all")
