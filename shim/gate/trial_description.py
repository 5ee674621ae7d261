"""What an answer of the gate says about its trial: as plain values for JSON, and as lines for people.

Rules: docs/design.md#r16.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shim.gate.evidence import Evidence
from shim.gate.kind_gate import GateTargets, wanted_e_value
from shim.gate.trial import BRAKE_RELEASED, OTHERS_ENDED, START
from shim.model import seconds

_ENDS_BY = (
    "another version or other settings of a monitor, other settings of `comparison`, another flags file "
    "(overrides apart), or a release of the brake"
)

_BEGAN_BY = {
    START: "the first process started",
    BRAKE_RELEASED: "the brake was released",
    OTHERS_ENDED: "the last process with other monitors, settings or flags ended",
}


def describe_trial(evidence: Evidence, targets: GateTargets) -> dict[str, object]:
    """Which trial is judged, since when, what began it, and what would end it. Times in seconds."""
    trial, standing = evidence.trial, evidence.standing
    return {
        "now": seconds(evidence.now),
        "trial": None
        if trial is None
        else {
            "since": seconds(trial.since),
            "until": None if trial.until is None else seconds(trial.until),
            "began_by": trial.began_by,
            "first_period_ends": seconds(trial.since + targets.period),
            "monitors": trial.identity.monitors,
            "comparison": trial.identity.comparison,
            "flags": trial.identity.flags,
            "ends_by": _ENDS_BY,
        },
        "attempt": evidence.attempt,
        "min_e_value": wanted_e_value(evidence.attempt),
        "standing_ready": None
        if standing is None
        else {
            "since": seconds(standing.since),
            "until": seconds(standing.until),
            "stands_until": seconds(standing.stands_until),
        },
        "kinds": [kind.kind for kind in evidence.kinds],
    }


def format_trial(inputs: Mapping[str, Any]) -> list[str]:
    """The same as sentences, from the `inputs` of an answer; an older shim's answer has no such lines."""
    if "trial" not in inputs:
        return []
    lines = [f"As of {_format_time(inputs['now'])}."]
    if (trial := inputs["trial"]) is None:
        lines.append(
            "There is no trial: no process runs, or processes differ because a deploy is under way."
        )
    else:
        lines += [
            f"The trial began at {_format_time(trial['since'])}: {_format_cause(trial['began_by'])}.",
            f"Its first period ends at {_format_time(trial['first_period_ends'])}.",
            f"It is attempt {inputs['attempt']} within 90 days: what is shown needs an e-value of "
            f"{inputs['min_e_value']:g}.",
            f"The trial would end by {trial['ends_by']}.",
        ]
    if (standing := inputs["standing_ready"]) is not None:
        lines.append(
            f"The `ready` of the trial from {_format_time(standing['since'])} to "
            f"{_format_time(standing['until'])} stands until {_format_time(standing['stands_until'])}, "
            "while nothing but widths grows and nothing is refuted."
        )
    return lines


def _format_cause(began_by: str) -> str:
    return _BEGAN_BY.get(began_by, f"{began_by} changed")


def _format_time(since_1970: float) -> str:
    return datetime.fromtimestamp(since_1970, UTC).isoformat(timespec="seconds")
