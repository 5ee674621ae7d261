"""The rollout by the plan in the settings, looked at and taken on by a person: by a command or over the API.

Rules: docs/design.md#r16, docs/design.md#r20, docs/design.md#r26.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shim.gate.answer import Standing
from shim.ledger.run_row import wall_clock
from shim.model import InputError
from shim.rollout.client_hints import candidate_warnings
from shim.rollout.flags_place import FlagsFilePlace, FlagsPlace, flags_place
from shim.rollout.promotion import Promotion, describe_step, prepare, put_in_place
from shim.rollout.promotion_plan import Facts
from shim.rollout.rollout_state import (
    RolloutState,
    StepAnswer,
    describe_rollout,
    describe_step_taken,
)
from shim.settings.settings import Settings
from shim.settings.yamlfile import UnreadableError

_ONE_FILE = (
    "the flags are a file of this process: the other processes of the fleet follow a step only if they read "
    "the same file"
)


@dataclass(frozen=True, slots=True)
class StepOrder:
    """Take the next step; `force`: although something is missing. `by` and `reason` are kept with the change.

    `dry_run`: change nothing.
    """

    by: str
    reason: str | None
    force: bool = False
    dry_run: bool = False


class PlannedRollout:
    """The rollout of these settings; `facts` tells what the record says of a flags file, by its digest."""

    def __init__(self, settings: Settings, facts: Callable[[str], Facts]) -> None:
        """Raises InputError where there is no plan to go on with."""
        self._settings = settings
        self._place = _find_place(settings)
        self._facts = facts

    def look(self) -> RolloutState:
        """Where the rollout stands. Raises InputError."""
        promotion = self._prepared(self._facts)
        return describe_rollout(promotion, self._warnings(promotion))

    def take_step(self, order: StepOrder) -> StepAnswer:
        """Put the next flags file in place, if nothing is missing. Raises InputError: nothing is changed."""
        troubles: list[str] = []
        promotion = self._prepared(self._facts_if_any(troubles) if order.force else self._facts)
        permitted = order.force or promotion.proposal.standing is Standing.MET
        change = None
        if promotion.next_content is not None and permitted and not order.dry_run:
            words = "by force" if order.force else describe_step(promotion)
            change = put_in_place(
                promotion, order.by, f"{words}: {order.reason}" if order.reason else words
            )
        state = describe_rollout(promotion, [*troubles, *self._warnings(promotion)])
        return describe_step_taken(state, dry_run=order.dry_run, change=change)

    def _prepared(self, facts: Callable[[str], Facts]) -> Promotion:
        with self._settings.origin.of("rollout", errors=UnreadableError):
            return prepare(self._place, self._settings.promotion.steps, facts)

    def _facts_if_any(self, troubles: list[str]) -> Callable[[str], Facts]:
        """The same facts, or no facts instead of an error: a forced step needs no ledger."""

        def ask(digest: str) -> Facts:
            try:
                return self._facts(digest)
            except InputError as error:
                troubles.append(str(error))
                return Facts(wall_clock(), None, None, {})

        return ask

    def _warnings(self, promotion: Promotion) -> list[str]:
        after = promotion.next_targeting or promotion.targeting
        found = candidate_warnings(self._settings, after)
        if self._settings.in_fleet and isinstance(self._place, FlagsFilePlace):
            found.append(_ONE_FILE)
        return found


def _find_place(settings: Settings) -> FlagsPlace:
    name = settings.origin.name
    if settings.monitors.control is None:
        raise InputError(f"{name}: the control is retired; there is no rollout any more")
    place = flags_place(settings)
    if place is None:
        raise InputError(f"{name}: these settings name no flags file (rollout: null)")
    if not settings.promotion.steps:
        raise InputError(f"{name}: there is no plan (promotion.steps is empty)")
    return place
