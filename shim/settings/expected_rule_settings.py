"""The settings `comparison.expected`: rules that explain mismatches (R13: docs/design.md#r13).

Rules: docs/design.md#r9.
"""

from typing import Annotated

from pydantic import BeforeValidator, Field

from shim.compare import ExpectedRule
from shim.model import Kind, VerdictKind
from shim.settings.fields import Day, Section, SkewRange, Text, read_by, read_word

_MISMATCHES = (
    VerdictKind.SKEWED,
    VerdictKind.ONLY_CONTROL,
    VerdictKind.ONLY_CANDIDATE,
    VerdictKind.ERROR,
)
"""The kinds that a mismatch can be of; a rule about any other would explain nothing."""


class ExpectedRuleSettings(Section):
    """One rule; what it leaves out, or gives as null, may be anything."""

    name: Text = Field(description="What the verdicts that it explains are counted under.")
    reason: Text = Field(description="Why such mismatches are no fault of the candidate.")
    until: Day = Field(description="The last day on which the rule holds, in UTC.")
    kind: Annotated[VerdictKind, BeforeValidator(read_word(_MISMATCHES))] | None = Field(
        default=None, description="The kind of mismatch."
    )
    recovered: bool | None = Field(
        default=None, description="Whether the client proved to be alive (R9)."
    )
    connection_kind: Annotated[Kind, BeforeValidator(read_word(Kind))] | None = Field(
        default=None, description="What is at the other end."
    )
    skew: SkewRange | None = Field(
        default=None, description="The range of control minus candidate, both ends included."
    )
    package: Text | None = Field(default=None, description="A glob of the app's package name.")

    def rule(self) -> ExpectedRule:
        return ExpectedRule(**{name: getattr(self, name) for name in type(self).model_fields})


ExpectedRuleEntry = Annotated[
    ExpectedRule, read_by(ExpectedRuleSettings, ExpectedRuleSettings.rule)
]
"""An `ExpectedRule`, read from the keys of `ExpectedRuleSettings`."""
