"""The names of span attributes; docs/telemetry.md says what each attribute means.

The constants are the shim's own attributes. Durations are seconds, and have `seconds` in their names.
`flag_attributes` has what OpenTelemetry may still rename: its conventions for feature flags (release
candidate). Their own form is a log event of the name `feature_flag.evaluation`, instead of attributes of the
registration's span; Python's logs API is not stable yet.
"""

from shim.flags.evaluation import Cap, Evaluation, Reason
from shim.model import FlagsLoad

KEEP = "shim.keep"
"""On every span of the shim: true if the span is of interest by itself, false for routine spans."""

VERDICT = "shim.verdict"
VERDICT_KIND = "shim.verdict_kind"
RECOVERED = "shim.recovered"
IMPROVEMENT = "shim.improvement"
RULE = "shim.expected_rule"
SKEW = "shim.skew_seconds"
FIRST = "shim.first"
ACTING = "shim.acting"
STAGE = "shim.stage"
STAGE_BEFORE = "shim.stage_before"

ROLE = "shim.role"
ACTED = "shim.acted"
SILENCE = "shim.silence_seconds"

CONNECTION = "shim.connection"
CONNECTION_KIND = "shim.connection_kind"
USER = "shim.user"
SESSION = "shim.session"
PACKAGE = "shim.package"
INSTANCE = "shim.instance"
REGISTRATION = "shim.registration.trace_id"

CAUSE = "shim.close.cause"
CODE_INTENDED = "shim.close.code_intended"
CODE_OBSERVED = "shim.close.code_observed"
CONNECTED = "shim.connected_seconds"

OUTCOME = "shim.outcome"
DELAY = "shim.return_delay_seconds"
BY_PERCENTAGE = "shim.by_percentage"

CALL = "shim.monitor_call"
REASON = "shim.reason"
BRAKE_ENGAGED = "shim.brake.engaged"
GUARD_HOLDING = "shim.guard.holding"
ACTING_FOR = "shim.guard.acting_for"
FLAGS_FILE = "shim.flags.file"
FLAGS_DIGEST = "shim.flags.digest"
FLAGS_DIGEST_BEFORE = "shim.flags.digest_before"

SUPPRESSED = "shim.suppressed"


def flag_attributes(
    evaluation: Evaluation, context_id: str, load: FlagsLoad | None
) -> dict[str, str]:
    """An evaluation in the conventions' words.

    `context_id` is the user, as traces may name them; `load` the file that was asked, if one was.
    """
    attributes = {
        "feature_flag.key": evaluation.flag,
        "feature_flag.result.variant": str(evaluation.stage),
        "feature_flag.result.reason": _reason(evaluation),
        "feature_flag.context.id": context_id,
        "feature_flag.provider.name": "shim",
    }
    if load is not None:
        attributes |= {"feature_flag.set.id": load.file, "feature_flag.version": load.digest}
    return attributes


def _reason(evaluation: Evaluation) -> str:
    if evaluation.lowered_by in (Cap.KILL_SWITCH, Cap.BRAKE):
        return "disabled"
    if evaluation.lowered_by is Cap.HOLDBACK:
        return "split"
    if evaluation.reason is Reason.DEFAULT:
        return "default"
    return "targeting_match" if evaluation.threshold is None else "split"
