"""The settings `comparison.expected`: mismatches that somebody has explained (R13)."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

from shim.compare import ExpectedRule
from shim.model import Kind, VerdictKind
from shim.settings.faults import Fault, Faults
from shim.settings.fields import Day, Section, SkewRange, Text, read_word

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
    kind: Annotated[VerdictKind | None, BeforeValidator(read_word(_MISMATCHES))] = Field(
        default=None, description="The kind of mismatch."
    )
    recovered: bool | None = Field(
        default=None, description="Whether the client proved to be alive (R9)."
    )
    connection_kind: Annotated[Kind | None, BeforeValidator(read_word(Kind))] = Field(
        default=None, description="What is at the other end."
    )
    skew: SkewRange | None = Field(
        default=None, description="The range of control minus candidate, both ends included."
    )
    package: Text | None = Field(default=None, description="A glob of the app's package name.")

    def rule(self) -> ExpectedRule:
        return ExpectedRule(**{name: getattr(self, name) for name in type(self).model_fields})


def _as_rule(source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    entry = handler(ExpectedRuleSettings)
    return core_schema.no_info_after_validator_function(ExpectedRuleSettings.rule, entry)


def check_names(rules: Sequence[ExpectedRule]) -> tuple[ExpectedRule, ...]:
    """The same rules; raises `Faults` where two have one name, and so one count."""
    names: set[str] = set()
    faults = []
    for index, rule in enumerate(rules):
        if rule.name in names:
            faults.append(Fault((index, "name"), f"{rule.name!r} is the name of another rule"))
        names.add(rule.name)
    if faults:
        raise Faults(faults)
    return tuple(rules)


ExpectedRuleEntry = Annotated[ExpectedRule, GetPydanticSchema(_as_rule)]
"""An `ExpectedRule`, read from the keys of `ExpectedRuleSettings`."""
