"""Which users move when one flags file follows another: counted for known users, exact for all others.

For users who are not listed, the files themselves say everything: which globs name them, and that each
bucket is as likely as any other. So for every group of users that the rules distinguish, the shares are
sums of whole buckets, not estimates.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeAlias

from shim.flags.patterns import STRANGER, example_user, is_glob
from shim.flags.targeting import BucketCell, Percentages, Targeting, find_cells
from shim.model import Stage

Move: TypeAlias = tuple[Stage, Stage]


@dataclass(frozen=True, slots=True)
class Moves:
    """How much of `total` goes from which stage to which stage, with the part that stays."""

    weights: Counter[Move]

    @property
    def total(self) -> int:
        return self.weights.total()

    @property
    def moved(self) -> int:
        return sum(weight for (before, after), weight in self.weights.items() if after != before)

    @property
    def demoted(self) -> int:
        return sum(weight for (before, after), weight in self.weights.items() if after < before)

    def percent(self, weight: int) -> float:
        return 100 * weight / self.total if self.total else 0.0

    def changes(self) -> list[tuple[Stage, Stage, int]]:
        """The pairs of different stages with their weights, demotions first."""
        changes = [(*move, weight) for move, weight in self.weights.items() if move[0] != move[1]]
        return sorted(changes, key=lambda change: (change[1] > change[0], change))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, of users who were counted."""
        return {
            "total": self.total,
            "moved": self.moved,
            "demoted": self.demoted,
            "moves": [
                {"from": str(before), "to": str(after), "count": count}
                for before, after, count in self.changes()
            ],
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Users whom the same rules are about. `globs` name them; None: no glob does.

    The weights are numbers of pairs of bucket and holdback bucket.
    """

    globs: tuple[str, ...] | None
    moves: Moves

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares in percent."""
        percent = self.moves.percent
        return {
            "globs": None if self.globs is None else list(self.globs),
            "moved_percent": percent(self.moves.moved),
            "demoted_percent": percent(self.moves.demoted),
            "moves": [
                {"from": str(before), "to": str(after), "percent": percent(weight)}
                for before, after, weight in self.moves.changes()
            ],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """`named` counts the users whom one of the files names exactly; the groups are all others."""

    named: Moves
    moved_users: tuple[tuple[str, Stage, Stage], ...]
    groups: tuple[Group, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares in percent of each group."""
        return {
            "named": {
                **self.named.as_dict(),
                "users": [
                    {"user": user, "from": str(before), "to": str(after)}
                    for user, before, after in self.moved_users
                ],
            },
            "groups": [group.as_dict() for group in self.groups],
        }


def moves_of(old: Targeting, new: Targeting, users: Iterable[str]) -> Moves:
    """The moves of these users, each counted as often as it comes."""
    return Moves(Counter((old.evaluate(user).stage, new.evaluate(user).stage) for user in users))


def compare(old: Targeting, new: Targeting) -> Comparison:
    """The changes that the second file makes, for all users."""
    exact = sorted({*_named(old), *_named(new)})
    stages = [(user, old.evaluate(user).stage, new.evaluate(user).stage) for user in exact]
    return Comparison(
        Moves(Counter((before, after) for _, before, after in stages)),
        tuple(entry for entry in stages if entry[1] != entry[2]),
        tuple(_groups(old, new)),
    )


def _named(targeting: Targeting) -> Iterator[str]:
    yield from targeting.overrides
    for rule in targeting.rules:
        yield from (pattern for pattern in rule.users if not is_glob(pattern))


@dataclass(slots=True)
class _Alike:
    """Globs that the same rules are about, and a user whom they name."""

    user: str
    globs: list[str] = field(default_factory=list)


def _groups(old: Targeting, new: Targeting) -> Iterator[Group]:
    def rules_of(user: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(old.patterns.lists_with(user)), tuple(new.patterns.lists_with(user))

    globs = {
        pattern: None
        for targeting in (old, new)
        for rule in targeting.rules
        for pattern in rule.users
        if is_glob(pattern)
    }
    everyone_else = rules_of(STRANGER)
    alike = {everyone_else: _Alike(STRANGER)}
    for glob in globs:
        user = example_user(glob)
        if any(rules := rules_of(user)):
            alike.setdefault(rules, _Alike(user)).globs.append(glob)
    for rules, members in alike.items():
        names = None if rules == everyone_else else tuple(members.globs)
        yield Group(names, _shares(old, new, members.user, *rules))


def _shares(
    old: Targeting,
    new: Targeting,
    user: str,
    old_rules: tuple[int, ...],
    new_rules: tuple[int, ...],
) -> Moves:
    """The moves of everybody whom these rules are about; `user` is one of them."""
    of_old, of_new = _percentages(old, old_rules), _percentages(new, new_rules)
    weights: Counter[Move] = Counter()
    if old.salt == new.salt:
        for cell in find_cells(of_old + of_new, old.held_below, new.held_below):
            weights[_stage(old, user, cell), _stage(new, user, cell)] += cell.pairs
    else:
        # Another salt shuffles all users: the stage before says nothing about the stage after.
        old_shares, new_shares = _stages(old, user, of_old), _stages(new, user, of_new)
        for (before, share), (after, new_share) in product(old_shares.items(), new_shares.items()):
            weights[before, after] = share * new_share
    return Moves(weights)


def _stages(targeting: Targeting, user: str, percentages: list[Percentages]) -> Counter[Stage]:
    """How many pairs of bucket and holdback bucket are at each stage."""
    stages: Counter[Stage] = Counter()
    for cell in find_cells(percentages, targeting.held_below):
        stages[_stage(targeting, user, cell)] += cell.pairs
    return stages


def _stage(targeting: Targeting, user: str, cell: BucketCell) -> Stage:
    return targeting.evaluate_at(user, cell.bucket, cell.holdback_bucket).stage


def _percentages(targeting: Targeting, rules: tuple[int, ...]) -> list[Percentages]:
    """Those that decide about users of these rules."""
    of_rules = (targeting.rules[index].percent for index in rules)
    return [*(percent for percent in of_rules if percent is not None), targeting.percent]
