"""What an answer of the gate says about its trial: as plain values for JSON, and as lines for people.

Rules: docs/design.md#r16.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shim.gate.answer import Condition, Standing
from shim.gate.evidence import Evidence
from shim.gate.kind_gate import GateTargets, wanted_e_value
from shim.gate.sample_ratio import UNSOUND
from shim.gate.trial import BRAKE_RELEASED, OTHERS_ENDED, START
from shim.model import Role, from_seconds, seconds
from shim.model.time import format_utc, seconds_or_none

_ENDS_BY = (
    "another version or other settings of a monitor, other settings of the comparison, another flags file "
    "(overrides apart), or a release of the brake"
)

_BEGAN_BY = {
    START: "the first process started",
    BRAKE_RELEASED: "the brake was released",
    OTHERS_ENDED: "the last process with other monitors, settings or flags ended",
}


UNKNOWABLE = (
    "users who did not occur yet, users whose identity changes, and how much the users of one process depend "
    "on each other within a day"
)
"""What no answer can take into account (R16)."""


def describe_trial(evidence: Evidence, targets: GateTargets) -> dict[str, object]:
    """Which trial is judged, since when, what began it, and what would end it. Times in seconds."""
    trial, standing = evidence.trial, evidence.standing
    return {
        "now": seconds(evidence.now),
        "trial": None
        if trial is None
        else {
            "since": seconds(trial.since),
            "until": seconds_or_none(trial.until),
            "began_by": trial.began_by,
            "first_period_ends": seconds(trial.since + targets.period),
            "monitors": trial.identity.monitors,
            "comparison": trial.identity.comparison,
            "flags": trial.identity.flags,
            "ends_by": _ENDS_BY,
        },
        "differing": list(evidence.differing),
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
        "not_known": UNKNOWABLE,
    }


def describe_no_trial(differing: Sequence[str]) -> str:
    """Why there is no trial; `differing` as in `Evidence`."""
    if not differing:
        return "no process runs"
    parts = " and the ".join(differing)
    return (
        f"the {parts} of the processes that run differ; that is a deploy, which ends, or a fault, such as "
        "two flags files"
    )


def format_trial(inputs: Mapping[str, Any]) -> list[str]:
    """The same as sentences, from the `inputs` of an answer; an older shim's answer has no such lines."""
    if "trial" not in inputs:
        return []
    lines = [f"As of {_format_time(inputs['now'])}."]
    if (trial := inputs["trial"]) is None:
        lines.append(f"There is no trial: {describe_no_trial(inputs.get('differing', ()))}.")
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
    if "not_known" in inputs:
        lines.append(f"The gate cannot know of {inputs['not_known']}.")
    return lines


def format_arms(conditions: Iterable[Condition]) -> list[tuple[str, bool]]:
    """For each kind and group: how many users are in each arm, and in both; and whether that is a fault."""
    return [
        (f"{condition.kind}, {name}: {_format_arms(users)}", condition.standing is Standing.FAILED)
        for condition in conditions
        if condition.name == "sample_ratio"
        for name, users in condition.inputs.get("groups", {}).items()
    ]


def _format_arms(users: Mapping[str, Any]) -> str:
    seen = [users[role] for role in Role]
    text = f"{seen[0]:,} users in the control's arm, {seen[1]:,} in the candidate's"
    shares = [users["expected"].get(role, 0.0) for role in Role]
    text += f", by the widths {shares[0]:.1%} to {shares[1]:.1%}"
    if users["e_value"] >= UNSOUND:
        text += "; THE SAMPLE RATIO IS OFF: no figure of the arms can be believed"
    if users["crossed"]:
        text += f"; {users['crossed']:,} users were in both arms and are left out"
    return text


def _format_cause(began_by: str) -> str:
    return _BEGAN_BY.get(began_by, f"the {began_by.replace(', ', ' and the ')} changed")


def _format_time(since_1970: float) -> str:
    return format_utc(from_seconds(since_1970))
