"""The flags file as an OpenFeature provider: one string flag, whose variants are the stages."""

import time
from pathlib import Path
from typing import Any, NoReturn

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    ProviderFatalError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails
from openfeature.flag_evaluation import Reason as OpenFeatureReason
from openfeature.provider import AbstractProvider, Metadata

from shim.flags.evaluation import Cap, Evaluation, Reason
from shim.flags.targeting import Targeting
from shim.model import FlagsLoad, InputError, Time
from shim.rollout.current_flags import CurrentFlags
from shim.rollout.watcher import Watcher
from shim.settings.flags_file import load_flags_file

NAME = "shim"


class ShimProvider(AbstractProvider):
    """Answers from the flags in force; the targeting key is the user.

    The brake of a running shim is not known here: the brake changes what monitors do, not what the flag says.
    """

    def __init__(self, live: CurrentFlags | None) -> None:
        super().__init__()
        self._live = live

    def get_metadata(self) -> Metadata:
        return Metadata(NAME)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """The user's stage. Raises FlagNotFoundError, TargetingKeyMissingError."""
        live = self._flags_of(flag_key)
        user = evaluation_context.targeting_key if evaluation_context else None
        if not user:
            raise TargetingKeyMissingError("the targeting key is the user, and there is none")
        digest, evaluation = live.digest, live.evaluate(user)
        stage = str(evaluation.stage)
        facts: dict[str, Any] = {
            "digest": digest,
            "bucket": evaluation.bucket,
            "granted": str(evaluation.granted),
            "granted_by": evaluation.reason.value,
            "rule": evaluation.rule,
            "lowered_by": evaluation.lowered_by.value if evaluation.lowered_by else None,
        }
        return FlagResolutionDetails(
            stage,
            reason=_reason(evaluation),
            variant=stage,
            # Metadata has no nulls.
            flag_metadata={key: value for key, value in facts.items() if value is not None},
        )

    def _refuse_type(
        self,
        flag_key: str,
        default_value: Any,
        evaluation_context: EvaluationContext | None = None,
    ) -> NoReturn:
        self._flags_of(flag_key)
        raise TypeMismatchError(f"{flag_key!r} is a string: the name of a stage")

    resolve_boolean_details = _refuse_type
    resolve_integer_details = _refuse_type
    resolve_float_details = _refuse_type
    resolve_object_details = _refuse_type

    def _flags_of(self, flag_key: str) -> CurrentFlags:
        if self._live is None or flag_key != self._live.targeting.flag:
            raise FlagNotFoundError(f"there is no flag {flag_key!r}")
        return self._live


class FileProvider(ShimProvider):
    """The provider for other processes: reads the flags file itself and follows its changes.

    A bad file at the start is a fatal error; a bad file later makes the provider stale.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(None)
        self._path = path
        self._watcher: Watcher | None = None
        self._stale = False

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        try:
            self._live = CurrentFlags(load_flags_file(self._path), _clock())
        except InputError as error:
            raise ProviderFatalError(str(error)) from error
        self._watcher = Watcher(self._live, _clock, lambda done: done(), self._loaded)
        self._watcher.start()

    def shutdown(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher = None

    def _loaded(self, load: FlagsLoad, before: Targeting, after: Targeting) -> None:
        if load.problem is not None:
            self._stale = True
            self.emit_provider_stale(ProviderEventDetails(message=load.problem))
            return
        if self._stale:
            self._stale = False
            self.emit_provider_ready(ProviderEventDetails())
        if load.digest != load.before:
            changed = sorted({before.flag, after.flag})
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=changed))


def _clock() -> Time:
    return time.monotonic_ns() // 1000


def _reason(evaluation: Evaluation) -> OpenFeatureReason:
    if evaluation.lowered_by is Cap.KILL_SWITCH:
        return OpenFeatureReason.DISABLED
    if evaluation.lowered_by is Cap.HOLDBACK or evaluation.threshold is not None:
        return OpenFeatureReason.SPLIT
    if evaluation.reason is Reason.DEFAULT:
        return OpenFeatureReason.DEFAULT
    return OpenFeatureReason.TARGETING_MATCH
