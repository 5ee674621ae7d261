"""Another OpenFeature provider decides which user is at which stage."""

import logging
from collections.abc import Callable

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagEvaluationDetails

from shim.flags.evaluation import Evaluation, Reason
from shim.flags.targeting import everyone_at
from shim.model import Stage

log = logging.getLogger(__name__)

_STAGES = {str(stage): stage for stage in Stage}
_NONE = ""
_MOST_LOGGED = 20
_EVERYONE_OFF = everyone_at(Stage.OFF)


class OpenFeatureStages:
    """`evaluate` for the shim: the stage is the value of a string flag, the targeting key the user.

    Where the provider has no stage (an error, an unknown value), `fallback` decides: a flags file's
    `evaluate`, or else everyone is at `off`. Every such evaluation says so in its `detail`, and each
    reason is logged once. Called when a connection is registered, in the event loop: the provider has
    to answer from memory, as in-process providers do.
    """

    def __init__(
        self,
        client: OpenFeatureClient,
        flag: str = "monitor-rollout",
        fallback: Callable[[str], Evaluation] = _EVERYONE_OFF.evaluate,
    ) -> None:
        self._client = client
        self._flag = flag
        self._fallback = fallback
        self._logged: set[str] = set()

    def evaluate(self, user: str) -> Evaluation:
        """Never raises, whatever the provider does."""
        fallback = self._fallback(user)
        try:
            context = EvaluationContext(targeting_key=user)
            answer = self._client.get_string_details(self._flag, _NONE, context)
        except Exception as error:
            return self._fall_back(fallback, type(error).__name__)
        # With an error the value is the default, and that is no stage.
        stage = _STAGES.get(answer.value)
        if stage is None:
            return self._fall_back(fallback, _failure(answer))
        return fallback._replace(
            flag=self._flag,
            stage=stage,
            granted=stage,
            reason=Reason.PROVIDER,
            lowered_by=None,
            rule=None,
            rule_index=None,
            missed=(),
            thresholds=(),
            detail=str(answer.reason or "UNKNOWN"),
        )

    def _fall_back(self, evaluation: Evaluation, failure: str) -> Evaluation:
        if failure not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(failure)
            log.error("flags: OpenFeature gives no stage (%s); the fallback decides", failure)
        return evaluation._replace(detail=failure)


def _failure(answer: FlagEvaluationDetails[str]) -> str:
    """The problem, as a text that does not name the user."""
    if answer.error_code is not None:
        return answer.error_code.value
    return f"{answer.value[:40]!r} is no stage"
