"""The stage of one user, with everything that led to it.

Rules: docs/design.md#r15.
"""

from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from shim.flags.buckets import format_percent
from shim.model import BY_CHANCE, Placement, Stage


class Reason(StrEnum):
    """What granted a stage."""

    OVERRIDE = "override"
    RULE = "rule"
    PERCENT = "percent"
    DEFAULT = "default"
    PROVIDER = "provider"
    """Another provider than the flags file, by OpenFeature."""


class Cap(StrEnum):
    """What lowered a stage below the granted one."""

    HOLDBACK = "holdback"
    BRAKE = "brake"
    KILL_SWITCH = "kill_switch"


_OVERRIDDEN = Placement(None, override=True)
_NO_GROUP = Placement(None)
_placed_by = cache(Placement)
"""One object for each rule, however many connections it places."""


class Threshold(NamedTuple):
    """Buckets below `below`, and below no earlier threshold, are at `stage`."""

    stage: Stage
    below: int


class Evaluation(NamedTuple):
    """One user's stage and why. (A tuple: a frozen dataclass takes 2 µs longer to make.)

    `granted` is the stage before `lowered_by` (None: nothing) lowered it; if several caps would lower
    it, the cap that gave the final stage is named. `rule` and `rule_index` (from 0) name the rule that
    granted it, `missed` the rules that name the user but whose percentages did not hit. `thresholds` are
    those that `bucket` was last compared with: of the rule or the percentages that hit; for the default,
    those that missed; empty if no percentage was asked. `detail` comes from another provider: its own
    reason, or the reason why the flags file was asked instead.
    """

    flag: str
    user: str
    stage: Stage
    granted: Stage
    reason: Reason
    lowered_by: Cap | None
    rule: str | None
    rule_index: int | None
    missed: tuple[str, ...]
    bucket: int
    thresholds: tuple[Threshold, ...]
    holdback_bucket: int
    holdback_threshold: int
    detail: str | None = None

    @property
    def by_percentage(self) -> bool:
        """Whether the bucket decided for the stage: such users are comparable (R15).

        This includes users whom percentages miss: chance decided about their stage, too.
        """
        if self.reason is Reason.PROVIDER:
            return self.detail == "SPLIT"
        return bool(self.missed) or any(below for _, below in self.thresholds)

    @property
    def placement(self) -> Placement:
        """The group in which chance alone decided about the user (R15).

        Users whom a rule's percentages missed belong to that rule: chance kept them out.
        """
        if not self.by_percentage:
            return _OVERRIDDEN if self.reason is Reason.OVERRIDE else _NO_GROUP
        if self.missed:
            return _placed_by(self.missed[0])
        return BY_CHANCE if self.rule is None else _placed_by(self.rule)

    @property
    def threshold(self) -> int | None:
        """The threshold that the bucket lies below, where a percentage granted the stage."""
        if self.reason is Reason.DEFAULT:
            return None
        return next((below for stage, below in self.thresholds if stage is self.granted), None)

    def explain(self) -> str:
        """Why the user is at this stage, as text: the lines of `explain_lines`."""
        return "\n".join(self.explain_lines())

    def explain_lines(self) -> list[str]:
        """Why the user is at this stage: the answer first, then a line for each step."""
        lines = [f"{self.user} is at {self.stage}."]
        lines += [
            f"Rule {rule!r} names this user, but its percentages miss." for rule in self.missed
        ]
        if self.detail is not None and self.reason is not Reason.PROVIDER:
            lines.append(f"The OpenFeature provider gave no stage: {self.detail}.")
        lines.append(self._describe_grant())
        if self.lowered_by is not None:
            lines.append(self._describe_cap(self.lowered_by))
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "flag": self.flag,
            "user": self.user,
            "stage": str(self.stage),
            "reason": self.reason.value,
            "rule": self.rule,
            "rule_index": self.rule_index,
            "missed": list(self.missed),
            "by_percentage": self.by_percentage,
            "granted": str(self.granted),
            "lowered_by": self.lowered_by.value if self.lowered_by else None,
            "bucket": self.bucket,
            "threshold": self.threshold,
            "thresholds": {str(stage): below for stage, below in self.thresholds},
            "holdback_bucket": self.holdback_bucket,
            "holdback_threshold": self.holdback_threshold,
            "detail": self.detail,
        }

    def _describe_grant(self) -> str:
        match self.reason:
            case Reason.OVERRIDE:
                return f"An override gives this very user {self.granted}."
            case Reason.PROVIDER:
                return f"The OpenFeature provider gives {self.granted}: {self.detail}."
            case Reason.DEFAULT:
                reach = max(below for _, below in self.thresholds)
                return (
                    f"No rule and no percentage applies: bucket {self.bucket} is not below {reach} "
                    f"({format_percent(reach)}). The default is {self.granted}."
                )
        giver = "The percentages for everybody give"
        if self.rule is not None:
            giver = f"Rule {self.rule!r} gives"
        if self.threshold is None:
            return f"{giver} {self.granted}."
        return f"{giver} {self.granted}: bucket {self.bucket} is {self._describe_thresholds(self.threshold)}."

    def _describe_thresholds(self, below: int) -> str:
        """Where the bucket lies among the thresholds; `below` is the one that it is below."""
        above = max((below for _, below in self.thresholds if below <= self.bucket), default=0)
        words = f"below {below} ({format_percent(below)})"
        return f"{words} and not below {above} ({format_percent(above)})" if above else words

    def _describe_cap(self, cap: Cap) -> str:
        match cap:
            case Cap.HOLDBACK:
                return (
                    f"The holdback keeps holdback buckets below {self.holdback_threshold} "
                    f"({format_percent(self.holdback_threshold)}) at {self.stage}; "
                    f"holdback bucket {self.holdback_bucket} is."
                )
            case Cap.BRAKE:
                return f"The brake is engaged: everyone is at {self.stage} at most."
            case Cap.KILL_SWITCH:
                return f"The kill switch is on: everyone is at {self.stage}."
