"""Retirement: the report of the evidence on which the control goes, read from the ledger and the settings.

Rules: docs/design.md#r16, docs/design.md#r23.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from shim.gate.answer import GateAnswer
from shim.gate.retirement_report import RetirementReport
from shim.ledger.completeness import Completeness, format_completeness, with_record
from shim.ledger.protocols import LedgerReader
from shim.model import InputError, Time
from shim.settings.settings import Settings
from shim.settings.yamlfile import read_bytes


def read_retirement(
    ledger: LedgerReader, settings: Settings, answer: GateAnswer, at: Time
) -> RetirementReport:
    """The report of this answer, which the gate gave `at` that time (microseconds since 1970).

    Goes through all rows of the ledger. Raises InputError.
    """
    digest, rows = ledger.digest()
    flags = settings.flags_path
    if flags is not None and not flags.exists():
        flags = None
    return RetirementReport(
        answer=answer,
        at=at,
        settings=settings.origin.name,
        settings_digest=settings.origin.digest,
        flags=None if flags is None else str(flags),
        flags_digest=None if flags is None else _digest(flags),
        ledger=ledger.place,
        ledger_digest=digest,
        ledger_rows=rows,
    )


def with_completeness(report: RetirementReport, record: Completeness | None) -> RetirementReport:
    """The report, with how far the record goes on which it rests."""
    return replace(report, record=with_record({}, record), record_lines=format_completeness(record))


def check_control(settings: Settings) -> None:
    """Raises InputError if the control is retired already."""
    if settings.monitors.control is None:
        raise InputError("these settings have no monitors.control: the control is retired already")


def _digest(file: Path) -> str:
    return sha256(read_bytes(file)).hexdigest()
