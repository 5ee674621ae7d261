"""The attributes of each record, by the names of `shim.telemetry.attributes`; without those of users."""

from typing import Any

from shim.model import (
    Closing,
    FlagsLoad,
    MonitorFailure,
    Outcome,
    Role,
    Stage,
    Time,
    Verdict,
    seconds,
)
from shim.router import Opened, StageChanged
from shim.telemetry import attributes as names


def of_opened(opened: Opened) -> dict[str, Any]:
    return {names.STAGE: str(opened.stage), names.ACTING: role_name(opened.acting)}


def of_stage_change(change: StageChanged) -> dict[str, Any]:
    return {names.STAGE_BEFORE: str(change.before), names.STAGE: str(change.after)}


def of_verdict(verdict: Verdict, stage: Stage | None) -> dict[str, Any]:
    """What the root span of an episode tells beside the verdict itself."""
    return _known(
        {
            names.RECOVERED: verdict.recovered,
            names.ACTING: role_name(verdict.acting),
            names.FIRST: role_name(verdict.first),
            names.SKEW: None if verdict.skew is None else seconds(verdict.skew),
            names.RULE: verdict.rule,
            names.STAGE: None if stage is None else str(stage),
        }
    )


def of_silence(role: Role, since: Time, at: Time, verdict: Verdict) -> dict[str, Any]:
    """A monitor's decision on the silence that began at `since`."""
    return {
        names.ROLE: role.value,
        names.ACTED: role is verdict.acting,
        names.SILENCE: seconds(at - since),
    }


def of_closing(closing: Closing) -> dict[str, Any]:
    return _known(
        {
            names.STAGE: str(closing.stage),
            names.CAUSE: closing.cause.value,
            names.CODE_INTENDED: closing.intended,
            names.CODE_OBSERVED: closing.observed,
            names.CONNECTED: seconds(closing.at - closing.opened_at),
        }
    )


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    return _known(
        {
            names.OUTCOME: outcome.result.value,
            names.ROLE: outcome.role.value,
            names.BY_PERCENTAGE: outcome.by_percentage,
            names.DELAY: None if outcome.delay is None else seconds(outcome.delay),
            names.CODE_INTENDED: outcome.code,
        }
    )


def of_failure(failure: MonitorFailure) -> dict[str, Any]:
    return {
        names.ROLE: failure.role.value,
        names.CALL: failure.call,
        names.REASON: failure.reason,
    }


def of_flags_load(load: FlagsLoad) -> dict[str, Any]:
    return _known(
        {
            names.FLAGS_FILE: load.file,
            names.FLAGS_DIGEST: load.digest,
            names.FLAGS_DIGEST_BEFORE: load.before,
        }
    )


def role_name(role: Role | None) -> str:
    return "none" if role is None else role.value


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    """OpenTelemetry has no null: what does not exist is left out."""
    return {name: value for name, value in attributes.items() if value is not None}
