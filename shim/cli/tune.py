"""`shim tune`: which timeout should the candidate have?"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from shim.capture.format import Event
from shim.cli.common import PATH, input_errors, json_option
from shim.cli.replay import name_settings, read_two_monitors, replay_settings
from shim.cli.terminal import console_for, print_json
from shim.cli.tune_chart import draw_trials
from shim.model import SECOND, Duration, InputError, Monitors, seconds
from shim.replay.capture_reader import CaptureReader, open_capture
from shim.replay.long_silences import LongSilences
from shim.replay.replay_engine import CaptureError
from shim.replay.tuning import TimeoutReplay, TimeoutTrial, feed_trials, recommend
from shim.settings.durations import format_duration, parse_duration
from shim.settings.settings import Settings

_DEFAULT_TIMEOUTS = "30s,40s,45s,50s,55s,60s,65s,75s,90s,120s"
_BAR = 8


def _read_timeouts(text: str) -> tuple[Duration, ...]:
    try:
        timeouts = {parse_duration(part.strip()) for part in text.split(",")}
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if min(timeouts) <= 0:
        raise click.BadParameter("a timeout has to be longer than 0s")
    return tuple(sorted(timeouts))


@click.command()
@click.argument("capture", type=PATH)
@click.option(
    "--timeouts",
    default=_DEFAULT_TIMEOUTS,
    show_default=True,
    type=_read_timeouts,
    metavar="TEXT",
    help="Timeouts of the candidate to try, with commas between.",
)
@click.option(
    "--config",
    type=PATH,
    help="The settings file; each trial replaces its timeout of the candidate.",
)
@click.option("--svg", type=PATH, help="Write the picture to this file.")
@json_option
@input_errors
def tune(
    capture: Path,
    timeouts: tuple[Duration, ...],
    config: Path | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Try several timeouts of the candidate on the CAPTURE file.

    For each timeout: how many living connections the candidate would have closed, how many dead ones it
    would have found and how late, and how far it would have agreed with the control. The shortest
    timeout that closes no living connection that the control would keep is named.

    Exit code 0: there is such a timeout; 1: each of them closes living connections; 3: the capture has
    no silence that any of them is about.
    """
    trials = _try(capture, config, timeouts)
    best = recommend(trials)
    if svg is not None:
        _write(svg, draw_trials(trials, best))
    if as_json:
        answer = {
            "trials": [trial.as_dict() for trial in trials],
            "recommended": None if best is None else seconds(best.timeout),
        }
        print_json(answer)
    else:
        _show(trials, best)
    if not any(trial.says_something for trial in trials):
        raise SystemExit(3)
    raise SystemExit(0 if best is not None else 1)


def _try(capture: Path, config: Path | None, timeouts: Sequence[Duration]) -> list[TimeoutTrial]:
    """The trials in the order of their timeouts. Raises InputError."""
    settings = _settings(config, timeouts)
    _, control = settings.monitors.chosen.control or (None, None)
    played: list[TimeoutTrial] = []
    # Clients may be silent as long as the shortest timeout all the time, and yet not as long as the next.
    for number in range(min(2, len(timeouts))):
        silences = LongSilences(min(timeouts[number], getattr(control, "timeout", 0)))
        with open_capture(capture) as reader:
            played += _play(reader, settings, [timeouts[number]], silences.follow(reader))
            events = silences.events
            if events is not None:
                trials = _play(reader, settings, timeouts[number:], events, silences.names)
                # A monitor that learns from more than long silences is likely to answer otherwise here.
                if trials[0] == played[-1]:
                    return played[:-1] + trials
                break
    return played + _play_in_processes(capture, config, timeouts[len(played) :])


def _play_in_processes(
    capture: Path, config: Path | None, timeouts: Sequence[Duration]
) -> list[TimeoutTrial]:
    """Each process reads the whole capture for itself, and plays it with some of the timeouts."""
    if not timeouts:
        return []
    workers = min(os.cpu_count() or 1, len(timeouts))
    # Neighbours cost alike, so they are dealt out in turn.
    parts = [timeouts[number::workers] for number in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        found = pool.map(_play_all, [capture] * workers, [config] * workers, parts)
        return sorted((trial for trials in found for trial in trials), key=lambda t: t.timeout)


def _play_all(
    capture: Path, config: Path | None, timeouts: Sequence[Duration]
) -> list[TimeoutTrial]:
    with open_capture(capture) as reader:
        return _play(reader, _settings(config, timeouts), timeouts, reader)


def _play(
    reader: CaptureReader,
    settings: Settings,
    timeouts: Sequence[Duration],
    events: Iterable[Event],
    names: Mapping[str, str] | None = None,
) -> list[TimeoutTrial]:
    """One pass over the events for all these timeouts. Raises CaptureError and InputError."""
    chosen = settings.monitors.chosen
    monitor_type, _ = chosen.candidate
    replays = []
    for timeout in timeouts:
        monitors = Monitors(chosen.control, (monitor_type, _candidate(settings, timeout)))
        replayed = replay_settings(settings, monitors, reader)
        replays.append(TimeoutReplay(replayed, timeout, names))
    feed_trials(replays, events)
    if not replays[0].ended:
        raise CaptureError("the capture has no end; is the file truncated?")
    return [replay.trial for replay in replays]


def _settings(config: Path | None, timeouts: Iterable[Duration]) -> Settings:
    """Raises InputError, also if the candidate refuses one of the timeouts."""
    settings = read_two_monitors(config)
    if not hasattr(settings.monitors.candidate.settings, "timeout"):
        name, plugin = name_settings(config), settings.monitors.candidate.plugin
        raise InputError(f"the candidate of {name}, {plugin!r}, has no setting `timeout`")
    for timeout in timeouts:
        _candidate(settings, timeout)
    return settings


def _candidate(settings: Settings, timeout: Duration) -> Any:
    """The candidate's settings with this timeout."""
    try:
        return replace(settings.monitors.candidate.settings, timeout=timeout)
    except ValueError as error:
        raise InputError(f"timeout {format_duration(timeout)}: {error}") from None


def _show(trials: Sequence[TimeoutTrial], best: TimeoutTrial | None) -> None:
    console = console_for(width=None)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column in (
        "timeout",
        "closes living",
        "",
        "finds dead",
        "misses",
        "cut short",
        "median",
        "95 %",
    ):
        table.add_column(column, justify="right" if column else "left", no_wrap=not column)
    table.add_column("agreement", justify="right")
    most = max((trial.alive_alone for trial in trials), default=0)
    for trial in trials:
        agreement = trial.agreement
        table.add_row(
            Text(format_duration(trial.timeout), "bold green" if trial is best else ""),
            str(trial.alive_alone),
            Text("━" * _bar(trial.alive_alone, most), "red"),
            str(len(trial.candidate.dead)),
            str(trial.missed),
            str(trial.cut_short),
            _format_delay(trial.candidate.delay(0.5)),
            _format_delay(trial.candidate.delay(0.95)),
            "-" if agreement is None else f"{agreement:.2%}",
        )
    console.print(table)
    console.print()
    for words in (
        "closes living: connections that came to life later, and that the control would have kept",
        "finds dead, misses: connections that their peers ended; cut short: the service's own monitor "
        "closed them first",
        "median, 95 %: from the last sign of life to the decision",
    ):
        console.print(words, style="dim")
    console.print()
    if not any(trial.says_something for trial in trials):
        console.print("No silence of this capture is as long as any of these timeouts.")
    elif best is None:
        console.print("Each of these timeouts closes living connections that the control keeps.")
    else:
        console.print(
            f"{format_duration(best.timeout)} is the shortest of these timeouts that closes no living "
            "connection that the control would keep."
        )


def _bar(count: int, most: int) -> int:
    return 0 if not count else max(1, round(_BAR * count / most))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None


def _format_delay(delay: Duration | None) -> str:
    return "-" if delay is None else f"{delay / SECOND:.1f} s"
