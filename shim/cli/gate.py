"""`shim gate`: may the control be retired?"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.cli.common import (
    PATH,
    input_errors,
    json_option,
    little_garbage,
    read_date,
    read_settings,
    rough,
    word_option,
)
from shim.cli.ledger_option import echo_record, ledger_of, ledger_option, one_place
from shim.cli.remote import PATIENCE, Remote, instead_option, with_its_record
from shim.cli.terminal import console_for, plain, print_json
from shim.gate.answer import Condition, GateAnswer, GateVerdict, Scale, Sense, Standing
from shim.gate.trial_description import format_arms, format_trial
from shim.ledger.completeness import Completeness, describe_completeness, with_record
from shim.ledger.process_record import ProcessRecord
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import Wall
from shim.model import Kind, from_seconds, seconds
from shim.model.ledger_url import LedgerUrl
from shim.model.time import seconds_or_none
from shim.rollout.client_hints import judge_with_hints
from shim.runtime.machine_start import present_time

if TYPE_CHECKING:
    from shim.settings.settings import Settings

EXIT_CODES = {GateVerdict.READY: 0, GateVerdict.NOT_READY: 1, GateVerdict.INSUFFICIENT: 3}
_ROOMY = 150
"""Columns; on a wider output, what is missing stands beside the figures."""

_NARROW = 90
"""Columns; on a narrower output there are no bars."""

_LONG = 100
"""Characters; a longer text about what is missing always has lines of its own."""

_MOST_SECONDS = 253_402_300_799
"""The last second of the year 9999, since 1970."""

_BAR = 24
_STYLES = {Standing.MET: "green", Standing.OPEN: "yellow", Standing.FAILED: "bold red"}
_SIGNS = {Standing.MET: "✓", Standing.OPEN: "…", Standing.FAILED: "✗"}
ANSWERS = {
    GateVerdict.READY: "ready: the control may be retired",
    GateVerdict.NOT_READY: "not ready",
    GateVerdict.INSUFFICIENT: "insufficient evidence",
}


def _read_at(text: str) -> Wall:
    try:
        return read_date(text)
    except ValueError:
        pass
    try:
        if 0 <= (since_1970 := float(text)) <= _MOST_SECONDS:
            return from_seconds(since_1970)
        raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time; write 2026-11-23, 2026-11-23T10:15 or 1795428900"
        ) from None


@click.command()
@click.option("--config", type=PATH, help="The settings file, with the targets and the ledger.")
@ledger_option("Read this ledger, instead of the ledger in the settings.")
@instead_option
@word_option("--kind", Kind, "Show only this kind of connection.")
@click.option(
    "--at",
    metavar="TIME",
    type=_read_at,
    help="Answer as of this time: a date with or without a time of day (local, if no zone), or seconds "
    "since 1970. The answer is what the gate said then, by the present settings.",
)
@json_option
@input_errors
def gate(
    config: Path | None,
    ledger: LedgerUrl | None,
    url: str | None,
    kind: Kind | None,
    at: Wall | None,
    as_json: bool,
) -> None:
    """May the control be retired?

    The gate judges a trial: the time since anything last changed that decides who gets what and what is
    compared. The output says which trial, what began it and what would end it. Each condition is printed
    with its figure, with a bar that shows what is certain and the target, and with what is missing. Exit
    code 0: ready; 1: not ready; 3: insufficient evidence. The answer is always about all kinds of
    connection, also with --kind.
    """
    one_place(ledger, url)
    processes: list[ProcessRecord] = []
    if url is not None:
        answer, record = Remote(url).get(
            "/api/gate", with_its_record(read_answer), patience=PATIENCE, at=seconds_or_none(at)
        )
    else:
        settings = read_settings(config)
        with ledger_of(settings, ledger) as reader, little_garbage():
            answer, record, now = judge_ledger(reader, settings, at)
            processes = reader.processes(now)
    if as_json:
        facts = with_record(answer.as_dict(), record)
        if processes:
            facts["processes"] = [process.as_dict() for process in processes]
        if kind is not None:
            facts["conditions"] = [c for c in facts["conditions"] if c["kind"] in (None, kind)]
        print_json(facts)
    else:
        show(answer, record, kind)
    sys.exit(EXIT_CODES[answer.verdict])


def judge_ledger(
    ledger: LedgerReader, settings: "Settings", at: Wall | None = None
) -> tuple[GateAnswer, Completeness | None, Wall]:
    """The answer now, or as of an earlier time; how far the record of a fleet goes; and as of when it is."""
    # The import takes a while, and a running shim answers without it.
    from shim.ledger.gate_evidence import gate_evidence

    record = describe_completeness(ledger.fleet())
    now = present_time(ledger)
    if at is not None:
        now = min(at, now)
    return judge_with_hints(gate_evidence(ledger, settings, now), settings), record, now


def read_answer(facts: Mapping[str, Any]) -> GateAnswer:
    """The answer of the API, whose durations are seconds."""
    conditions = [_in_microseconds(condition) for condition in facts["conditions"]]
    answer = {**_in_microseconds(facts), "verdict": facts["answer"], "conditions": conditions}
    return msgspec.convert(answer, GateAnswer)


def _in_microseconds(facts: Mapping[str, Any]) -> dict[str, Any]:
    eta = facts["eta"]
    return {**facts, "eta": None if eta is None else from_seconds(eta)}


def show(answer: GateAnswer, record: Completeness | None = None, kind: Kind | None = None) -> None:
    """The answer for people, and how far the record of a fleet goes."""
    console = console_for()
    standing = {
        GateVerdict.READY: Standing.MET,
        GateVerdict.NOT_READY: Standing.FAILED,
        GateVerdict.INSUFFICIENT: Standing.OPEN,
    }[answer.verdict]
    console.print(Text(ANSWERS[answer.verdict], style=_STYLES[standing]))
    if answer.eta is not None and answer.verdict is GateVerdict.INSUFFICIENT:
        console.print(f"At the present rate this takes about {rough(seconds(answer.eta))} more.")
    for line in format_trial(answer.inputs):
        console.print(line)
    for line, is_off in format_arms(answer.conditions):
        console.print(plain(line, "bold red" if is_off else ""))
    for shown in (None, *Kind):
        conditions = [c for c in answer.conditions if c.kind is shown]
        if conditions and (kind is None or shown in (None, kind)):
            console.print()
            console.print(Text("all connections" if shown is None else shown.value, style="bold"))
            console.print(_table(conditions, console.width))
    echo_record(record)


def _table(conditions: list[Condition], width: int) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", ratio=1 if width < _ROOMY else None, max_width=_LONG)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    for condition in conditions:
        style = _STYLES[condition.standing]
        title: RenderableType = condition.title
        figures, missing = _figures(condition), plain(condition.missing or "", style)
        if condition.eta is not None:
            missing.append(f" (about {rough(seconds(condition.eta))})", style="dim")
        if missing and (width < _ROOMY or len(missing) > _LONG):
            title = Group(title, missing)
        elif missing:
            figures.append("  ").append_text(missing)
        sign = Text(_SIGNS[condition.standing], style=style)
        table.add_row(sign, title, Text("") if width < _NARROW else _bar(condition), figures)
    return table


def _bar(condition: Condition) -> Text:
    """The bound as a bar, the target as a mark on it."""
    target, bound = condition.target, condition.bound
    if target is None or (bound is None and condition.figure is None):
        return Text("")
    low, high = _range(condition)
    filled = 0 if bound is None else _place(bound, low, high)
    mark = _place(target, low, high)
    style = _STYLES[condition.standing]
    return Text.assemble(
        ("━" * min(filled, mark), style),
        ("·" * max(0, mark - filled), "dim"),
        ("│", "bold"),
        ("━" * max(0, filled - mark - 1), style),
        ("·" * (_BAR - 1 - max(mark, filled - 1)), "dim"),
    )


def _figures(condition: Condition) -> Text:
    """What is certain, what it has to be, what was seen."""
    target, bound, figure = condition.target, condition.bound, condition.figure
    text = Text()
    if target is None or (bound is None and figure is None):
        return text
    text.append(f"{_format_number(condition, bound)} ", style=_STYLES[condition.standing])
    text.append("≥ " if condition.sense is Sense.AT_LEAST else "≤ ", style="dim")
    text.append(_format_number(condition, target))
    if figure is not None and figure != bound:
        text.append(f"  (seen: {_format_number(condition, figure)})", style="dim")
    return text


def _range(condition: Condition) -> tuple[float, float]:
    """The ends of the bar: shares near 0 or 1 are drawn larger."""
    values = [v for v in (condition.target, condition.bound, condition.figure) if v is not None]
    if condition.scale is Scale.COUNT:
        return 0, max(*values, 1) * 1.1
    if min(values) > 0.5:
        return max(0.0, 1 - (1 - min(values)) * 1.5 - 0.002), 1
    return 0, min(1.0, max(values) * 1.5 + 0.002)


def _place(value: float, low: float, high: float) -> int:
    share = (value - low) / (high - low) if high > low else 1.0
    return min(_BAR - 1, max(0, round(share * (_BAR - 1))))


def _format_number(condition: Condition, value: float | None) -> str:
    if value is None:
        return "–"
    if condition.scale is Scale.COUNT:
        return f"{value:,.0f}"
    return f"{value:.2%}"
