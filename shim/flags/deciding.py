"""The deciding parts of a flags file: who gets what, apart from the users named one by one (R16).

A trial lasts while these parts stay as they are. They are kept with each load of the file, as plain
JSON, so that a later question can tell what has changed since.

Rules: docs/design.md#r16, docs/design.md#r18.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

from shim.flags.buckets import BUCKETS
from shim.flags.targeting import Percentages, Targeting, find_cells
from shim.model import EVERYBODY, Role, Stage


def deciding_parts(targeting: Targeting) -> dict[str, Any]:
    """Widths, salt, rules, default, holdback and kill switch, for JSON; not the overrides."""
    return {
        "salt": targeting.salt,
        "kill_switch": targeting.kill_switch,
        "default": str(targeting.default),
        "holdback": float(targeting.holdback),
        "rules": [
            {
                "name": rule.name,
                "users": list(rule.users),
                "stage": None if rule.stage is None else str(rule.stage),
                "percent": None if rule.percent is None else rule.percent.as_dict(),
            }
            for rule in targeting.rules
        ],
        "percent": targeting.percent.as_dict(),
    }


def deciding_text(targeting: Targeting) -> str:
    """The same as a text that is equal exactly if the parts are."""
    return json.dumps(deciding_parts(targeting), sort_keys=True, separators=(",", ":"))


def digest_of(text: str) -> str:
    """16 hex digits that stand for a text."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def only_widths_grew(before: str, after: str) -> bool:
    """Whether the second file differs in widths alone, and moves nobody back (R18).

    Both are texts of `deciding_text`; equal ones grew by nothing, which is true as well.
    """
    old, new = json.loads(before), json.loads(after)
    widths = zip(_take_widths(old), _take_widths(new), strict=True)
    # Rules that are equal but for their widths have widths in both files, or in none.
    return old == new and all(_all_reached(now, was) for was, now in widths)


def reached_step(percent: Percentages, steps: Sequence[Percentages]) -> int | None:
    """The index of the last of these steps whose thresholds the widths have all reached (R18)."""
    reached = [index for index, step in enumerate(steps) if _all_reached(percent, step)]
    return reached[-1] if reached else None


def step_of(text: str, steps: Sequence[Percentages]) -> int | None:
    """The step of a plan that a file, given as a text of `deciding_text`, is at."""
    return reached_step(_percentages(json.loads(text)["percent"]), steps)


def arm_shares(text: str, group: str) -> dict[Role, float] | None:
    """The shares of a group's users for whom each monitor acts; None if that cannot be told.

    `group` is `Placement.group`. Users of a rule may be named by other rules, too; then their
    shares differ from user to user, and nothing is told.
    """
    parts = json.loads(text)
    if parts["kill_switch"]:
        return {Role.CONTROL: 1.0, Role.CANDIDATE: 0.0}
    percentages = [_percentages(parts["percent"])]
    if group != EVERYBODY:
        match parts["rules"]:
            case [{"name": name, "percent": dict(percent)}] if name == group:
                percentages = [_percentages(percent), *percentages]
            case _:
                return None
    default = Stage[parts["default"].upper()]
    held_below = round(Decimal(str(parts["holdback"])) * BUCKETS / 100)
    weights: Counter[Role] = Counter()
    for cell in find_cells(percentages, held_below):
        hits = (percent.stage_of(cell.bucket) for percent in percentages)
        stage = next((hit for hit in hits if hit is not None), default)
        held = cell.holdback_bucket < held_below
        weights[Role.CONTROL if held else stage.acting] += cell.pairs
    return {role: weights[role] / weights.total() for role in Role}


def _percentages(widths: Mapping[str, float]) -> Percentages:
    return Percentages(**{stage: Decimal(str(width)) for stage, width in widths.items()})


def _take_widths(parts: dict[str, Any]) -> list[Percentages]:
    """The widths for everybody and of the rules; the parts are without them then."""
    taken = [part.pop("percent") for part in (parts, *parts["rules"])]
    return [_percentages(widths) for widths in taken if widths is not None]


def _all_reached(percent: Percentages, wanted: Percentages) -> bool:
    """Whether nobody would move on if the widths became the wanted ones."""
    pairs = zip(percent.thresholds, wanted.thresholds, strict=True)
    return all(has.below >= threshold.below for has, threshold in pairs)
