"""`shim retire`: the report of the evidence, and what to delete."""

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from shim.cli.common import input_errors, json_option
from shim.cli.gate import EXIT_CODES, show
from shim.cli.ledger_option import ledger_of, ledger_option
from shim.cli.terminal import echo, print_json
from shim.gate import GateVerdict
from shim.gate.retirement_report import RetirementReport
from shim.ledger.completeness import describe_completeness, format_completeness, with_record
from shim.ledger.gate_evidence import gate_evidence
from shim.model import InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.client_hints import judge_with_hints
from shim.runtime.machine_start import present_time
from shim.settings import LedgerUrl, Settings, load_settings


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The settings file, with the targets and the ledger.",
)
@ledger_option("Read this ledger, instead of the ledger in the settings.")
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
    report: Path,
    force: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Ask the gate, write the evidence into a report, and print what to delete.

    The command changes nothing except the folder of the report. If the gate does not say `ready`, there
    is no report, and the exit code is 1 or 3.
    """
    if force and not reason:
        raise click.UsageError("--force needs --reason")
    settings = load_settings(config, monitor_types(plugin_manager()))
    if settings.monitors.control is None:
        raise InputError("these settings have no monitors.control: the control is retired already")
    with ledger_of(settings, ledger) as reader:
        record = describe_completeness(reader.fleet())
        now = present_time(reader)
        answer = judge_with_hints(gate_evidence(reader, settings, now), settings)
        reported = answer.verdict is GateVerdict.READY or force
        digest, rows = reader.digest() if reported else ("", 0)
    if not reported:
        if as_json:
            print_json(with_record({"gate": answer.as_dict(), "report": None}, record))
        else:
            show(answer)
            _echo_lines(format_completeness(record))
        sys.exit(EXIT_CODES[answer.verdict])
    written = RetirementReport(
        answer=answer,
        at=now,
        settings=str(config) if config else "the settings",
        settings_digest=_digest(config),
        flags=_flags(settings),
        flags_digest=_digest(settings.flags_path),
        ledger=reader.place,
        ledger_digest=digest,
        ledger_rows=rows,
        record=with_record({}, record),
        record_lines=format_completeness(record),
        reason=reason if force else None,
    )
    files = _write(written, report)
    if as_json:
        print_json({**written.as_dict(), "files": [str(file) for file in files]})
        return
    show(answer)
    _echo_lines(written.record_lines)
    echo()
    echo(f"The evidence is in {files[0]} and {files[1]}. What to do now:")
    echo()
    for number, step in enumerate(written.steps, 1):
        echo(f"  {number}. {step}")


def _echo_lines(lines: Iterable[str]) -> None:
    for line in lines:
        echo(line)


def _flags(settings: Settings) -> str | None:
    file = settings.flags_path
    return str(file) if file is not None and file.exists() else None


def _digest(file: Path | None) -> str | None:
    if file is None or not file.exists():
        return None
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None


def _write(report: RetirementReport, folder: Path) -> tuple[Path, Path]:
    markdown, facts = folder / "report.md", folder / "report.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        markdown.write_text(report.as_markdown(), encoding="utf-8")
        facts.write_text(json.dumps(report.as_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}") from None
    return markdown, facts
