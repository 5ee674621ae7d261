"""The flags file as a flag of flagd: the same overrides, rules and widths, in JsonLogic.

flagd has another hash, so the shares are the same, but other users are in them: a user at `live` here may
be at `shadow` there. flagd has no globs, only heads, tails and parts of a text.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from shim.flags.buckets import BUCKETS, holdback_salt
from shim.flags.patterns import is_glob, split_glob
from shim.flags.targeting import Percentages, Targeting
from shim.model import InputError, Problem, Stage

Logic: TypeAlias = Any
"""JsonLogic."""

_USER: Logic = {"var": "targetingKey"}
_NOBODY = "none"


def flagd_flags(targeting: Targeting) -> dict[str, Any]:
    """A flagd definition with this one flag; raises InputError with every glob that flagd lacks."""
    problems = [
        Problem(
            f"flagd has nothing like the glob {pattern!r}",
            path=f"rules[{rule_index}].users[{index}]",
        )
        for rule_index, rule in enumerate(targeting.rules)
        for index, pattern in enumerate(rule.users)
        if is_glob(pattern) and _match_glob(pattern) is None
    ]
    if problems:
        raise InputError(problems)
    kill = targeting.kill_switch
    return {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {
            targeting.flag: {
                "state": "ENABLED",
                "variants": {str(stage): str(stage) for stage in Stage},
                "defaultVariant": str(Stage.OFF if kill else targeting.default),
                "targeting": {} if kill else _targeting(targeting),
            }
        },
    }


def _targeting(targeting: Targeting) -> Logic:
    branches: list[Logic] = []
    for stage in sorted(Stage):
        users = [user for user, given in targeting.overrides.items() if given is stage]
        if users:
            branches += [{"in": [_USER, users]}, str(stage)]
    everybody = _granted(targeting, highest=Stage.COMPLETE)
    if targeting.held_below:
        split = {"held": targeting.held_below, _NOBODY: BUCKETS - targeting.held_below}
        held = {"==": [_fractional(holdback_salt(targeting.salt), split), "held"]}
        branches += [held, _granted(targeting, highest=Stage.SHADOW)]
    if branches:
        return {"if": [*branches, everybody]}
    # The default alone: flagd wants no targeting then.
    return everybody if isinstance(everybody, dict) else {}


def _granted(targeting: Targeting, highest: Stage) -> Logic:
    """What rules, percentages and default give, `highest` at most."""
    branches: list[Logic] = []
    for rule in targeting.rules:
        names = _names(rule.users)
        if rule.percent is None:
            assert rule.stage is not None
            branches += [names, str(min(rule.stage, highest))]
        else:
            branches += _hits(targeting.salt, rule.percent, highest, names)
    branches += _hits(targeting.salt, targeting.percent, highest)
    default = str(min(targeting.default, highest))
    return {"if": [*branches, default]} if branches else default


def _hits(salt: str, percent: Percentages, highest: Stage, names: Logic = None) -> list[Logic]:
    """Condition and stage: those whom the percentages hit, of those whom `names` is about."""
    widths: dict[str, int] = {}
    before = 0
    for stage, below in percent.thresholds:
        if below > before:
            variant = str(min(stage, highest))
            widths[variant] = widths.get(variant, 0) + below - before
        before = below
    if not before:
        return []
    widths[_NOBODY] = BUCKETS - before
    stage_of_bucket = _fractional(salt, widths)
    hit = {"!=": [stage_of_bucket, _NOBODY]}
    return [hit if names is None else {"and": [names, hit]}, stage_of_bucket]


def _fractional(salt: str, weights: Mapping[str, int]) -> Logic:
    """flagd's choice among variants by the hash of salt and user."""
    return {"fractional": [{"cat": [salt, _USER]}, *([name, w] for name, w in weights.items())]}


def _names(patterns: Iterable[str]) -> Logic:
    exact = [pattern for pattern in patterns if not is_glob(pattern)]
    conditions: list[Logic] = [{"in": [_USER, exact]}] if exact else []
    conditions += [_match_glob(glob) for glob in patterns if is_glob(glob)]
    return conditions[0] if len(conditions) == 1 else {"or": conditions}


def _match_glob(glob: str) -> Logic | None:
    """The condition that a glob stands for: text at the head, at the tail, or in between alone."""
    texts = split_glob(glob)
    if "*".join(texts) != glob:
        return None
    match texts:
        case ["", ""]:
            return True
        case ["", tail]:
            return {"ends_with": [_USER, tail]}
        case [head, ""]:
            return {"starts_with": [_USER, head]}
        case [head, tail]:
            return {"and": [{"starts_with": [_USER, head]}, {"ends_with": [_USER, tail]}]}
        case ["", part, ""]:
            return {"in": [part, _USER]}
    return None
