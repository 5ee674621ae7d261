"""`shim report`: what happened in a period, in numbers, by a ledger or by a running shim (R27).

Rules: docs/design.md#r27.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from shim.cli.common import PATH, input_errors, json_option, read_settings
from shim.cli.ledger_option import echo_record, ledger_of, ledger_option, one_place
from shim.cli.remote import Remote, instead_option, read_record
from shim.cli.terminal import console_for, echo, figures_table, plain, print_json
from shim.ledger.completeness import (
    Completeness,
    describe_completeness,
    format_time,
    with_record,
)
from shim.ledger.report_figures import DEFAULT_PERIOD, PERIODS, ReportFigures, read_report
from shim.model import InputError, Role, from_seconds, seconds
from shim.model.ledger_url import LedgerUrl
from shim.runtime.machine_start import present_time

_Report = tuple[dict[str, Any], Completeness | None]
"""The period and the figures as JSON, and how far the record of the fleet goes."""


@click.command()
@click.option("--config", type=PATH, help="The settings file that names the ledger.")
@ledger_option("Read this ledger, instead of the ledger in the settings.")
@instead_option
@click.option(
    "--period",
    type=click.Choice([*PERIODS]),
    default=DEFAULT_PERIOD,
    show_default=True,
    help="The time until now that is counted.",
)
@json_option
@input_errors
def report(
    config: Path | None, ledger: LedgerUrl | None, url: str | None, period: str, as_json: bool
) -> None:
    """Count what happened: decisions, verdicts, agreement, and what became of the clients.

    In a fleet the numbers are those of all processes together. They answer no question of statistics;
    `shim gate` does.
    """
    one_place(ledger, url)
    if url is not None:
        figures, record = Remote(url).get("/api/report", _read, period=period)
    else:
        figures, record = _read_ledger(config, ledger, period)
    if as_json:
        print_json(with_record(figures, record))
        return
    since, until = (from_seconds(figures[name]) for name in ("since", "until"))
    echo(f"from {format_time(since)} to {format_time(until)}")
    echo()
    console = console_for()
    for part in render_figures(figures):
        console.print(part)
    echo_record(record)


def _read_ledger(config: Path | None, ledger: LedgerUrl | None, period: str) -> _Report:
    settings = read_settings(config)
    with ledger_of(settings, ledger) as reader:
        record = describe_completeness(reader.fleet())
        until = present_time(reader)
        since = until - PERIODS[period]
        figures = read_report(reader, since, until).as_dict()
    return {"since": seconds(since), "until": seconds(until), **figures}, record


def _read(answer: Mapping[str, Any]) -> _Report:
    if answer["trouble"] is not None:
        raise InputError(answer["trouble"])
    figures = ReportFigures.from_dict(answer).as_dict()
    return {name: answer[name] for name in ("since", "until")} | figures, read_record(answer)


def render_figures(figures: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The figures of a report (`ReportFigures` as JSON) for people."""
    table = figures_table("monitor", "closed", "recorded", "came back", "lost", "alive", "failures")
    for role in map(str, Role):
        decisions, outcomes = figures["decisions"][role], figures["outcomes"][role]
        numbers = (
            decisions["acted"],
            decisions["recorded"],
            outcomes["returned"],
            outcomes["lost"],
            figures["proofs_of_life"][role],
            figures["failures"][role],
        )
        table.add_row(role, *(f"{number:,}" for number in numbers))
    yield from (table, "", _render_agreement(figures["agreement"]))
    verdicts = ", ".join(f"{n:,} {name}" for name, n in figures["verdicts"].items())
    yield plain(f"verdicts  {verdicts}")
    if improvements := figures.get("improvements"):
        yield Text(
            f"improved  {improvements:,} times life proved the control wrong where the candidate waited; "
            "not part of the agreement"
        )
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(figures["kinds"].items()))
    yield plain(f"by kind   {kinds or '-'}")


def _render_agreement(agreement: Mapping[str, Any]) -> Text:
    share = "no episode yet" if agreement["share"] is None else f"{agreement['share']:.2%}"
    text = Text.assemble(("agreement ", "bold"), share)
    if agreement["conclusive"]:
        text.append(f"  ({agreement['matched']:,.0f} of {agreement['conclusive']:,.0f} episodes)")
    return text
