"""What OpenTelemetry may still rename: its conventions for feature flags (release candidate).

The evaluation stands as attributes on the registration's span. The conventions' own form is a log
event of the name `feature_flag.evaluation`; Python's logs API is not stable yet.
"""

from shim.flags import Cap, Evaluation, Reason
from shim.model import FlagsLoad


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
