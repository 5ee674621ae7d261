"""What OpenTelemetry may still rename: its conventions for feature flags (release candidate).

The evaluation stands as attributes on the registration's span. The conventions' own form is a log
event of the name `feature_flag.evaluation`; Python's logs API is not stable yet.
"""

from shim.flags import Cap, Evaluation, Reason
from shim.model import FlagsLoad

KEY = "feature_flag.key"
VARIANT = "feature_flag.result.variant"
RESULT_REASON = "feature_flag.result.reason"
CONTEXT_ID = "feature_flag.context.id"
PROVIDER = "feature_flag.provider.name"
SET_ID = "feature_flag.set.id"
VERSION = "feature_flag.version"

PROVIDER_NAME = "shim"


def flag_attributes(
    evaluation: Evaluation, context_id: str, load: FlagsLoad | None
) -> dict[str, str]:
    """An evaluation in the conventions' words.

    `context_id` is the user, as traces may name them; `load` the file that was asked, if one was.
    """
    attributes = {
        KEY: evaluation.flag,
        VARIANT: str(evaluation.stage),
        RESULT_REASON: _reason(evaluation),
        CONTEXT_ID: context_id,
        PROVIDER: PROVIDER_NAME,
    }
    if load is not None:
        attributes |= {SET_ID: load.file, VERSION: load.digest}
    return attributes


def _reason(evaluation: Evaluation) -> str:
    if evaluation.lowered_by in (Cap.KILL_SWITCH, Cap.BRAKE):
        return "disabled"
    if evaluation.lowered_by is Cap.HOLDBACK:
        return "split"
    if evaluation.reason is Reason.DEFAULT:
        return "default"
    return "targeting_match" if evaluation.threshold is None else "split"
