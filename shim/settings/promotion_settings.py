"""The settings `promotion`: the steps of the rollout, and what must hold before the next is taken.

Rules: docs/design.md#r16, docs/design.md#r18.
"""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from shim.model.time import DAY
from shim.settings.faults import Fault, Faults
from shim.settings.fields import AnyDuration, ListOf, Section, read_word
from shim.settings.flags_file import Widths


class Requirement(StrEnum):
    """What can be asked of the evidence since a step was taken; the gate's conditions by name (R16)."""

    AGREEMENT = "agreement"
    RETURNS = "returns"
    PROOFS_OF_LIFE = "proofs_of_life"
    COVERAGE = "coverage"
    FAILURES = "failures"
    EXPECTED = "expected"
    TIMEOUTS = "timeouts"
    USERS = "users"
    DAYS = "days"
    EXPIRED_RULES = "expired_rules"


_RequirementName = Annotated[Requirement, BeforeValidator(read_word(Requirement))]


class StepSettings(Section):
    """One step: the widths for everybody, and what it takes to leave it."""

    percent: Widths = Field(description="The widths of `percent` in the flags file.")
    soak: AnyDuration = Field(
        default=DAY, description="How long the file stays as it is, at least."
    )
    require: ListOf[_RequirementName] = Field(
        default=(Requirement.AGREEMENT, Requirement.COVERAGE, Requirement.FAILURES),
        description="What the evidence since then must show before the next step.",
    )


def _check_order(steps: Sequence[StepSettings]) -> tuple[StepSettings, ...]:
    """The same steps; raises `Faults` if a step would move a user back (R18), or would move no user."""
    faults = []
    for index, (step, following) in enumerate(pairwise(steps), 1):
        old = [below for _, below in step.percent.thresholds]
        new = [below for _, below in following.percent.thresholds]
        if any(after < before for before, after in zip(old, new, strict=True)):
            reason = "moves users back from where the step before is"
            faults.append(Fault((index, "percent"), reason))
        elif old == new:
            faults.append(Fault((index, "percent"), "is the same as the step before"))
    if faults:
        raise Faults(faults)
    return tuple(steps)


class PromotionSettings(Section):
    """How the rollout goes on; see `shim rollout`."""

    auto: bool = Field(
        default=False, description="Whether a running shim takes the steps by itself."
    )
    steps: Annotated[ListOf[StepSettings], AfterValidator(_check_order)] = Field(
        default=(), description="From the first to the last; [] for no plan."
    )
