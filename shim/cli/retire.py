"""`shim retire`: the report of the evidence, and what to delete."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from shim.cli.common import PATH, check_force, input_errors, json_option, read_settings
from shim.cli.gate import EXIT_CODES, judge_ledger, read_answer, show
from shim.cli.ledger_option import ledger_of, ledger_option, one_place
from shim.cli.remote import PATIENCE, Remote, instead_option, read_record
from shim.cli.terminal import echo, print_json
from shim.gate.answer import GateAnswer, GateVerdict
from shim.gate.retirement_report import RetirementReport
from shim.ledger.completeness import Completeness, with_record
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from shim.rollout.retirement import check_control, read_retirement, with_completeness


class _Retirement(NamedTuple):
    """The gate's answer, the report (None: the gate does not say `ready`), and how far the record goes."""

    answer: GateAnswer
    report: RetirementReport | None
    record: Completeness | None


@click.command()
@click.option("--config", type=PATH, help="The settings file, with the targets and the ledger.")
@ledger_option("Read this ledger, instead of the ledger in the settings.")
@instead_option
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("retirement"),
    show_default=True,
    help="The folder for the report, in Markdown and JSON.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write the report although the gate does not say `ready`; needs --reason.",
)
@click.option("--reason", help="The reason for --force; it is kept in the report.")
@json_option
@input_errors
def retire(
    config: Path | None,
    ledger: LedgerUrl | None,
    url: str | None,
    report: Path,
    force: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Ask the gate, write the evidence into a report, and print what to delete.

    The command changes nothing except the folder of the report. If the gate does not say `ready`, there
    is no report, and the exit code is 1 or 3.
    """
    check_force(force, reason)
    one_place(ledger, url)
    if url is not None:
        found = Remote(url).get(
            "/api/retirement", _read, patience=PATIENCE, force=str(force).lower()
        )
    else:
        found = _read_ledger(config, ledger, force=force)
    if found.report is None:
        if as_json:
            facts = {"gate": found.answer.as_dict(), "report": None}
            print_json(with_record(facts, found.record))
        else:
            show(found.answer, found.record)
        sys.exit(EXIT_CODES[found.answer.verdict])
    written = replace(
        with_completeness(found.report, found.record), reason=reason if force else None
    )
    files = _write(written, report)
    if as_json:
        print_json({**written.as_dict(), "files": [str(file) for file in files]})
        return
    show(found.answer, found.record)
    echo()
    echo(f"The evidence is in {files[0]} and {files[1]}. What to do now:")
    echo()
    for number, step in enumerate(written.steps, 1):
        echo(f"  {number}. {step}")


def _read_ledger(config: Path | None, ledger: LedgerUrl | None, *, force: bool) -> _Retirement:
    settings = read_settings(config)
    check_control(settings)
    with ledger_of(settings, ledger) as reader:
        answer, record, now = judge_ledger(reader, settings)
        reported = answer.verdict is GateVerdict.READY or force
        report = read_retirement(reader, settings, answer, now) if reported else None
    return _Retirement(answer, report, record)


def _read(facts: Mapping[str, Any]) -> _Retirement:
    """The answer of the API."""
    answer, report = read_answer(facts["gate"]), facts["report"]
    return _Retirement(
        answer,
        None if report is None else RetirementReport.from_dict(report, answer),
        read_record(facts),
    )


def _write(report: RetirementReport, folder: Path) -> tuple[Path, Path]:
    markdown, facts = folder / "report.md", folder / "report.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        markdown.write_text(report.as_markdown(), encoding="utf-8")
        facts.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    return markdown, facts
