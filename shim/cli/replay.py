"""`shim replay`: what the monitors would have decided on a captured day.

Rules: docs/design.md#r13.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from shim.capture.format import Event
from shim.cli.common import PATH, input_errors, json_option, read_settings
from shim.cli.terminal import TextConsole, console_for, echo_error, print_json, progress_bar
from shim.compare.expected_rules import ExpectedRules
from shim.model import InputError, Monitors, Return, Role, Time, Verdict, seconds
from shim.replay.capture_reader import CaptureReader, open_capture
from shim.replay.replay_engine import CaptureError, Replay, ReplaySettings, feed_all
from shim.replay.result import ReplayResult
from shim.replay.result_diff import Difference, difference
from shim.settings.settings import Settings

_LONG = 20_000_000
"""Bytes; the replay of a longer capture shows a progress bar."""

_MOST_ROWS = 100
"""The most verdicts that are shown as text; `--json` prints all."""


@click.command()
@click.argument("capture", type=PATH)
@click.option("--config", type=PATH, help="The settings file of the replay.")
@click.option(
    "--diff", "other", type=PATH, help="Another settings file: show which verdicts it would change."
)
@click.option(
    "--acting",
    type=click.Choice(["control", "candidate", "none"]),
    default="control",
    show_default=True,
    help="The monitor whose closings take effect.",
)
@json_option
@input_errors
def replay(
    capture: Path, config: Path | None, other: Path | None, acting: str, as_json: bool
) -> None:
    """Replay the CAPTURE file through both monitors, in virtual time.

    With --diff the capture is replayed with the settings of --config (A) and with the other settings (B).
    A connection that a replay has closed is gone in that replay: its later events are ignored.
    """
    judge = _Judge(config, acting)
    if other is None:
        _play(capture, judge)
        if as_json:
            print_json(judge.engine.result.as_dict())
        else:
            _show(judge.engine.result)
        return
    second = _Judge(other, acting)
    _play(capture, judge, second)
    found = difference(judge.engine.result, second.engine.result)
    if as_json:
        print_json({"a": judge.as_dict(), "b": second.as_dict(), **found.as_dict()})
    else:
        _show_difference(judge, second, found)


def read_two_monitors(config: Path | None) -> Settings:
    """The settings of a file, or the defaults. Raises InputError, also if they have no control."""
    settings = read_settings(config)
    if settings.monitors.control is None:
        name = name_settings(config)
        raise InputError(f"a replay compares two monitors; {name} has no monitors.control")
    return settings


def name_settings(config: Path | None) -> str:
    """How a message names the settings that are in force."""
    return "the defaults" if config is None else str(config)


def replay_settings(
    settings: Settings, monitors: Monitors, capture: CaptureReader
) -> ReplaySettings:
    """For a replay with these monitors; expected rules hold or have expired as of the capture (R13)."""
    comparison = settings.comparison
    today = capture.started or datetime.now(UTC).date()
    return ReplaySettings(
        monitors=monitors,
        tolerance=comparison.tolerance,
        window=comparison.window,
        return_window=comparison.return_window,
        expected=ExpectedRules(comparison.expected, today),
    )


class _Judge:
    """A replay with one settings file (None: the defaults)."""

    engine: Replay

    def __init__(self, config: Path | None, acting: str) -> None:
        self.name = name_settings(config)
        self._settings = read_two_monitors(config)
        self._acting = None if acting == "none" else Role(acting)

    def begin(self, reader: CaptureReader) -> Replay:
        self._replayed = replay_settings(self._settings, self._settings.monitors.chosen, reader)
        self.engine = Replay(self._replayed, self._acting)
        return self.engine

    def warn(self) -> None:
        """Print which expected rules had no effect, and which calls of a monitor failed."""
        for rule in self._replayed.expected.expired:
            echo_error(f"expected rule {rule.name!r} expired on {rule.until}: it matched nothing")
        for failure in self.engine.result.failures:
            echo_error(f"the {failure.role} failed in {failure.call}: {failure.reason}")

    def as_dict(self) -> dict[str, Any]:
        """What `--diff --json` prints about one of the two settings."""
        answer = self.engine.result.as_dict()
        del answer["verdicts"]
        return {"settings": self.name, **answer}


def _play(capture: Path, *judges: _Judge) -> None:
    """Replay the capture for all judges in one pass. Raises InputError."""
    with open_capture(capture) as reader:
        engines = [judge.begin(reader) for judge in judges]
        events = _with_progress(reader, capture.stat().st_size)
        feed_all([engine.feed for engine in engines], events)
        if not engines[0].ended:
            raise CaptureError("the capture has no end event; is the file cut off?")
    for judge in judges:
        judge.warn()


def _with_progress(reader: CaptureReader, size: int) -> Iterator[Event]:
    if size < _LONG:
        yield from reader
        return
    with progress_bar("replay", size) as show_progress:
        for number, event in enumerate(reader):
            if not number % 50_000:
                show_progress(reader.bytes_read)
            yield event


def _show(result: ReplayResult) -> None:
    console = console_for(width=None)
    summary = Table("", "", box=None, show_header=False)
    for name, number in result.summary().items():
        summary.add_row(name.replace("_", " "), str(number))
    console.print(summary)
    for name, count in result.rules.items():
        console.print(f"expected by rule {name!r}: {count}")
    for role, outcomes in result.as_dict()["outcomes"].items():
        if outcomes["acted"]:
            counts = ", ".join(f"{count} {name}" for name, count in outcomes.items())
            console.print(f"closed by the {role}: {counts}")
    _show_verdicts(console, "Verdicts", result.rows())


def _show_verdicts(console: TextConsole, title: str, rows: Sequence[Verdict]) -> None:
    if not rows:
        return
    table = _table(title, "at", "connection", "verdict", "kind", "control", "candidate", "skew")
    for verdict in rows[:_MOST_ROWS]:
        times = (verdict.control_at, verdict.candidate_at, verdict.skew)
        table.add_row(
            _second(verdict.at),
            verdict.connection.id,
            verdict.name.value,
            _kind(verdict),
            *(_second(time) for time in times),
        )
    _print_table(console, table, rows)


def _show_difference(a: _Judge, b: _Judge, found: Difference) -> None:
    console = console_for(width=None)
    console.print(f"A: {a.name}", soft_wrap=True)
    console.print(f"B: {b.name}", soft_wrap=True)
    summary = Table("", "A", "B", "change", box=None)
    for name, in_a, in_b in _figures(a.engine.result, b.engine.result):
        summary.add_row(name, str(in_a), str(in_b), f"{in_b - in_a:+d}" if in_b != in_a else "")
    console.print(summary)
    console.print(
        f"verdicts: {found.unchanged} unchanged, {found.moved} at other times, "
        f"{len(found.changed)} changed, {len(found.only_a)} in A only, {len(found.only_b)} in B only"
    )
    if found.changed:
        table = _table("Changed", "connection", "silent since", "A", "at", "B", "at")
        for was, now in found.changed[:_MOST_ROWS]:
            table.add_row(
                was.connection.id,
                _second(was.last_activity),
                f"{was.name.value} {_kind(was)}",
                _second(was.at),
                f"{now.name.value} {_kind(now)}",
                _second(now.at),
            )
        _print_table(console, table, found.changed)
    _show_verdicts(console, "In A only", found.only_a)
    _show_verdicts(console, "In B only", found.only_b)


def _figures(a: ReplayResult, b: ReplayResult) -> Iterator[tuple[str, int, int]]:
    """The counts of the summary and the outcomes of each monitor that closed something, in A and in B."""
    in_b = b.summary()
    for name, number in a.summary().items():
        yield name.replace("_", " "), number, in_b[name]
    for role, counts in a.outcomes.items():
        others = b.outcomes[role]
        if not counts and not others:
            continue
        yield f"closed by the {role}", counts.total(), others.total()
        for result in Return:
            yield f"  {result}", counts[result], others[result]


def _table(title: str, *columns: str) -> Table:
    """A table that is readable on 80 columns: long names are folded, never cut."""
    table = Table(title=title, title_justify="left", box=None)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_table(console: TextConsole, table: Table, rows: Sequence[object]) -> None:
    console.print()
    console.print(table)
    if len(rows) > _MOST_ROWS:
        console.print(f"{len(rows) - _MOST_ROWS} more are not shown; --json prints all")


def _kind(verdict: Verdict) -> str:
    return verdict.kind.value + (", recovered" if verdict.recovered else "")


def _second(time: Time | None) -> str:
    return "-" if time is None else f"{seconds(time):.12g}"
