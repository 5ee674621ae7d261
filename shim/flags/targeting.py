"""Targeting: what the flags file says, and which stage that gives to a user (R17-R19).

The first of these that has a stage for the user grants it:

    override      names this very user
    rule          names the user by id or glob; with percentages: these hit the user's bucket
    percent       the percentages for everybody hit the bucket
    default       has one for whoever is left

Then these may lower it:

    holdback      to `shadow`, but no override
    brake         to `shadow`
    kill switch   to `off`

Rules: docs/design.md#r17, docs/design.md#r18, docs/design.md#r19, docs/design.md#r22.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate, pairwise, product
from typing import NamedTuple

from shim.flags.buckets import BUCKETS, Bucketing, buckets_of, holdback_salt
from shim.flags.evaluation import Cap, Evaluation, Reason, Threshold
from shim.flags.patterns import UserPatterns
from shim.model import Role, Stage

_NOTHING = Decimal(0)


@dataclass(frozen=True)
class Percentages:
    """Widths in percent of all buckets; what they leave over belongs to nobody here.

    The thresholds are cumulative by rank, most advanced first, whatever the order in the file, so
    raising one never moves anyone back (R18). Raises ValueError for a width that is negative or
    finer than 0.001, and for widths that add to more than 100.
    """

    complete: Decimal | int = _NOTHING
    live: Decimal | int = _NOTHING
    shadow: Decimal | int = _NOTHING
    thresholds: tuple[Threshold, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        widths = self.widths.values()
        stages, reached = sorted(Stage, reverse=True), accumulate(map(buckets_of, widths))
        thresholds = tuple(map(Threshold, stages, reached))
        if (total := sum(widths)) > 100:
            raise ValueError(f"the widths add to {total} %, which is more than 100")
        object.__setattr__(self, "thresholds", thresholds)

    @property
    def widths(self) -> dict[str, Decimal | int]:
        """By the word of the stage, the most advanced first."""
        return {"complete": self.complete, "live": self.live, "shadow": self.shadow}

    def as_dict(self) -> dict[str, float]:
        """The widths for JSON: they have at most three decimals, which a float keeps."""
        return {stage: float(width) for stage, width in self.widths.items()}

    def stage_of(self, bucket: int) -> Stage | None:
        """The stage whose share of the buckets this one falls into, if any."""
        for stage, below in self.thresholds:
            if bucket < below:
                return stage
        return None


class BucketCell(NamedTuple):
    """Pairs of a bucket and a holdback bucket between which no threshold lies: the first one, and how many."""

    bucket: int
    holdback_bucket: int
    pairs: int


def find_cells(percentages: Iterable[Percentages], *held_below: int) -> Iterator[BucketCell]:
    """All pairs of buckets, in cells: users of one cell get the same of these percentages and holdbacks."""
    thresholds = {below for percent in percentages for _, below in percent.thresholds}
    cuts = (pairwise(sorted({0, BUCKETS, *below})) for below in (thresholds, held_below))
    for (low, high), (held_low, held_high) in product(*cuts):
        yield BucketCell(low, held_low, (high - low) * (held_high - held_low))


@dataclass(frozen=True)
class Rule:
    """The users it names get a stage, or those of them whom its percentages hit.

    `users` are exact ids and globs (see `UserPatterns`). Raises ValueError unless there is exactly
    one of `stage` and `percent`.
    """

    name: str
    users: tuple[str, ...]
    stage: Stage | None = None
    percent: Percentages | None = None

    def __post_init__(self) -> None:
        if (self.stage is None) == (self.percent is None):
            raise ValueError(f"rule {self.name!r} needs either a stage or percentages")


@dataclass(frozen=True)
class Targeting:
    """One whole, valid flags file. `holdback` is in percent; see the module for what wins.

    Raises ValueError for a holdback that is no width.
    """

    flag: str
    salt: str
    default: Stage = Stage.OFF
    kill_switch: bool = False
    holdback: Decimal | int = _NOTHING
    overrides: Mapping[str, Stage] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    percent: Percentages = field(default_factory=Percentages)
    patterns: UserPatterns = field(init=False, repr=False, compare=False)
    _bucket: Bucketing = field(init=False, repr=False, compare=False)
    _holdback_bucket: Bucketing = field(init=False, repr=False, compare=False)
    held_below: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", UserPatterns(rule.users for rule in self.rules))
        object.__setattr__(self, "_bucket", Bucketing(self.salt))
        object.__setattr__(self, "_holdback_bucket", Bucketing(holdback_salt(self.salt)))
        object.__setattr__(self, "held_below", buckets_of(self.holdback))

    def evaluate(self, user: str, *, brake: bool = False) -> Evaluation:
        """The user's stage and every figure that led to it; `brake`: it is engaged (R22).

        Never raises, and always answers the same for the same user.
        """
        return self.evaluate_at(user, self._bucket(user), self._holdback_bucket(user), brake=brake)

    def evaluate_at(
        self, user: str, bucket: int, holdback_bucket: int, *, brake: bool = False
    ) -> Evaluation:
        """The answer if the user's buckets were these: for questions about shares of all users."""
        grant = self._grant(user, bucket)
        exempt = grant.reason is Reason.OVERRIDE
        held = not exempt and holdback_bucket < self.held_below
        stage = grant.stage
        lowered_by: Cap | None = None
        if stage > Stage.SHADOW and (held or brake):
            stage = Stage.SHADOW
            lowered_by = Cap.HOLDBACK if held else Cap.BRAKE
        if stage > Stage.OFF and self.kill_switch:
            stage = Stage.OFF
            lowered_by = Cap.KILL_SWITCH
        return Evaluation(
            flag=self.flag,
            user=user,
            stage=stage,
            granted=grant.stage,
            reason=grant.reason,
            lowered_by=lowered_by,
            rule=None if grant.rule is None else self.rules[grant.rule].name,
            rule_index=grant.rule,
            missed=grant.missed,
            bucket=bucket,
            thresholds=grant.thresholds,
            holdback_bucket=holdback_bucket,
            holdback_threshold=self.held_below,
        )

    def _grant(self, user: str, bucket: int) -> "_Grant":
        """The first of override, rules, percentages and default that has a stage for the user."""
        stage = self.overrides.get(user)
        if stage is not None:
            return _Grant(stage, Reason.OVERRIDE)
        missed: tuple[str, ...] = ()
        for index in self.patterns.lists_with(user):
            rule = self.rules[index]
            if rule.stage is not None:
                return _Grant(rule.stage, Reason.RULE, rule=index, missed=missed)
            assert rule.percent is not None
            stage = rule.percent.stage_of(bucket)
            if stage is not None:
                return _Grant(stage, Reason.RULE, rule.percent.thresholds, index, missed)
            missed += (rule.name,)
        stage = self.percent.stage_of(bucket)
        if stage is not None:
            return _Grant(stage, Reason.PERCENT, self.percent.thresholds, missed=missed)
        return _Grant(self.default, Reason.DEFAULT, self.percent.thresholds, missed=missed)


def everyone_at(stage: Stage) -> Targeting:
    """The targeting where there is no flags file."""
    return Targeting("monitor-rollout", "monitor-rollout", default=stage)


def places_of_acting_candidate(targeting: Targeting) -> Iterator[str]:
    """The paths of whatever puts somebody at `live` or `complete`, such as `rules[0].stage`."""
    if targeting.kill_switch:
        return
    for user, stage in targeting.overrides.items():
        if _acts(stage):
            yield f"overrides.{user}"
    if targeting.held_below == BUCKETS:
        return
    for index, rule in enumerate(targeting.rules):
        if rule.percent is not None:
            yield from _widths(rule.percent, f"rules[{index}].percent")
            continue
        assert rule.stage is not None
        if _acts(rule.stage):
            yield f"rules[{index}].stage"
    yield from _widths(targeting.percent, "percent")
    if _acts(targeting.default) and targeting.percent.stage_of(BUCKETS - 1) is None:
        yield "default"


def _acts(stage: Stage) -> bool:
    return stage.acting is Role.CANDIDATE


def _widths(percent: Percentages, path: str) -> Iterator[str]:
    widths = {Stage.COMPLETE: percent.complete, Stage.LIVE: percent.live}
    for stage, width in widths.items():
        if width:
            yield f"{path}.{stage}"


class _Grant(NamedTuple):
    """The stage before anything lowers it, and who granted it."""

    stage: Stage
    reason: Reason
    thresholds: tuple[Threshold, ...] = ()
    rule: int | None = None
    missed: tuple[str, ...] = ()
