"""Retirement: the report of the evidence on which the control goes, and what then is to be deleted.

Rules: docs/design.md#r23.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from shim import __version__
from shim.gate.answer import Condition, GateAnswer, Scale, Sense
from shim.gate.trial_description import format_trial
from shim.model import Time, from_seconds
from shim.model.time import format_utc

STEPS = (
    "Set `monitors.control: null` in {settings}, and restart the service: from then on the candidate "
    "runs alone, for everybody.",
    "Watch for a day. To go back, put the section `monitors.control` back and restart: nothing else.",
    "Set `rollout: null` in {settings}, and delete the flags file {flags}: there are no stages any more.",
    "Delete the global health monitor from the service, with the calls that register sockets with it; "
    "what registers with the shim stays.",
    "Delete boards and alerts about agreement, brake and stages.",
    "Keep this report and the ledger {ledger}: they are the evidence.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementReport:
    """Everything the decision rests on. Digests are SHA-256, in hex."""

    answer: GateAnswer
    at: Time
    settings: str
    settings_digest: str | None
    flags: str | None
    flags_digest: str | None
    ledger: str
    ledger_digest: str
    ledger_rows: int
    record: Mapping[str, Any] = field(default_factory=dict)
    """How far the record of the fleet went (R23), as JSON; empty: there is no fleet."""

    record_lines: Sequence[str] = ()
    """The same for people."""

    reason: str | None = None
    """Why it goes although the gate did not say so."""

    version: str = __version__
    """The shim that asked the gate."""

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any], answer: GateAnswer) -> Self:
        """A report as `as_dict` gave it; `answer` is its gate. What is said of the record is left out."""
        settings, flags, ledger = facts["settings"], facts["flags"], facts["ledger"]
        return cls(
            answer=answer,
            at=from_seconds(datetime.fromisoformat(facts["at"]).timestamp()),
            settings=settings["file"],
            settings_digest=settings["sha256"],
            flags=flags["file"],
            flags_digest=flags["sha256"],
            ledger=ledger["file"],
            ledger_digest=ledger["sha256_of_rows"],
            ledger_rows=ledger["rows"],
            reason=facts["reason"],
            version=facts["version"],
        )

    @property
    def steps(self) -> list[str]:
        names = {"settings": self.settings, "flags": self.flags, "ledger": self.ledger}
        steps = STEPS if self.flags else [step for step in STEPS if "{flags}" not in step]
        return [step.format(**names) for step in steps]

    def as_dict(self) -> dict[str, Any]:
        return {
            "report": 1,
            "at": format_utc(self.at),
            "version": self.version,
            "reason": self.reason,
            "gate": self.answer.as_dict(),
            "settings": {"file": self.settings, "sha256": self.settings_digest},
            "flags": {"file": self.flags, "sha256": self.flags_digest},
            "ledger": {
                "file": self.ledger,
                "sha256_of_rows": self.ledger_digest,
                "rows": self.ledger_rows,
            },
            **self.record,
            "steps": self.steps,
        }

    def as_markdown(self) -> str:
        lines = [
            "# Retirement of the control",
            "",
            f"The gate answered **{self.answer.verdict}** at {format_utc(self.at)} "
            f"(shim {self.version}).",
        ]
        if self.reason:
            lines += ["", f"Forced: {self.reason}"]
        if trial := format_trial(self.answer.inputs):
            lines += ["", "## Trial", "", *(f"- {line}" for line in trial)]
        lines += ["", "## Conditions", *_conditions(self.answer.conditions)]
        lines += ["", "## Inputs", ""]
        lines += [f"- {name}: {_format_input(value)}" for name, value in self.answer.inputs.items()]
        for condition in self.answer.conditions:
            if condition.inputs:
                lines += ["", f"### {_title(condition)}", ""]
                lines += [f"- {name}: {_format_input(v)}" for name, v in condition.inputs.items()]
        lines += [
            "",
            "## What this was computed from",
            "",
            f"- settings `{self.settings}`: SHA-256 {self.settings_digest or '(no file)'}",
            f"- flags `{self.flags or '(no file)'}`: SHA-256 {self.flags_digest or '-'}",
            f"- ledger `{self.ledger}`: SHA-256 {self.ledger_digest} over {self.ledger_rows} rows",
            *(f"- {line}" for line in self.record_lines),
            "",
            "## What to do",
            "",
            *(f"{number}. {step}" for number, step in enumerate(self.steps, 1)),
        ]
        return "\n".join(lines) + "\n"


def _conditions(conditions: tuple[Condition, ...]) -> list[str]:
    lines = [
        "",
        "| condition | stands | certain | target | seen | 95 % (Wilson) |",
        "|---|---|---|---|---|---|",
    ]
    for condition in conditions:
        sign = "≥" if condition.sense is Sense.AT_LEAST else "≤"
        interval = condition.interval
        seen = (
            "-"
            if interval is None
            else " to ".join(_format_number(condition, end) for end in interval)
        )
        lines.append(
            f"| {_title(condition)} | {condition.standing} | {_format_number(condition, condition.bound)} "
            f"| {sign} {_format_number(condition, condition.target)} "
            f"| {_format_number(condition, condition.figure)} | {seen} |"
        )
    return lines


def _title(condition: Condition) -> str:
    return condition.title if condition.kind is None else f"{condition.kind}: {condition.title}"


def _format_number(condition: Condition, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}" if condition.scale is Scale.SHARE else f"{value:g}"


def _format_input(value: Any) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(f"{name} {_format_input(inner)}" for name, inner in value.items()) or "none"
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
