"""Where in a flags file the candidate comes to act, which is where clients feel how it closes."""

from collections.abc import Iterator

from shim.flags.buckets import BUCKETS
from shim.flags.targeting import Percentages, Targeting
from shim.model import Role, Stage


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
        elif rule.stage is not None and _acts(rule.stage):
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
