"""Where the rollout stands by the plan, as people and the API are told.

Rules: docs/design.md#r16, docs/design.md#r20.
"""

from collections.abc import Iterable
from dataclasses import asdict
from difflib import unified_diff
from typing import Any

from shim.flags.diff import compare
from shim.gate.answer import Standing
from shim.ledger.json_record import JsonRecord
from shim.rollout.changes import Change
from shim.rollout.promotion import Promotion


class RolloutState(JsonRecord, frozen=True, kw_only=True):
    """The flags file, its step of the plan, and the next step.

    Attributes:
        file: where the flags are.
        digest: the SHA-256 of the flags, in hex.
        percent: the widths, by the word of the stage, in percent.
        step: the number of the step that the file is at, from 1; None: it is before the first step.
        next: the widths of the next step; None: the plan is done.
        standing: whether the next step may be taken: the worst standing of the checks.
        checks: what the next step needs: the name, the standing, and words.
        moves: which users move with the next step; None: there is no next step. It may name users.
        diff: the lines of the file that the next step changes; None: there is no next step.
        warnings: what else is to be said. They may name users.
    """

    file: str
    digest: str
    percent: dict[str, float]
    step: int | None
    steps: int
    next: dict[str, float] | None
    standing: Standing
    checks: list[dict[str, Any]]
    moves: dict[str, Any] | None
    diff: str | None
    warnings: list[str]


class StepAnswer(RolloutState, frozen=True, kw_only=True):
    """The same after somebody has asked for the next step.

    Attributes:
        dry_run: nothing was to be changed.
        change: who changed the file, when, why, and from which digest to which; None: nothing was changed.
    """

    dry_run: bool
    change: dict[str, str] | None


def describe_rollout(promotion: Promotion, warnings: Iterable[str]) -> RolloutState:
    """Where the rollout stands, by a promotion that was prepared."""
    proposal, moves, diff = promotion.proposal, None, None
    if promotion.next_targeting is not None:
        moves = compare(promotion.targeting, promotion.next_targeting).as_dict()
        diff = _diff(promotion)
    return RolloutState(
        file=promotion.place.name,
        digest=promotion.digest,
        percent=promotion.targeting.percent.as_dict(),
        step=None if proposal.step is None else proposal.step + 1,
        steps=proposal.steps,
        next=None if proposal.percent is None else proposal.percent.as_dict(),
        standing=proposal.standing,
        checks=[asdict(check) for check in proposal.checks],
        moves=moves,
        diff=diff,
        warnings=[*warnings],
    )


def describe_step_taken(state: RolloutState, *, dry_run: bool, change: Change | None) -> StepAnswer:
    """What became of the request for the next step."""
    done = None if change is None else asdict(change)
    return StepAnswer.from_dict({**state.as_dict(), "dry_run": dry_run, "change": done})


def _diff(promotion: Promotion) -> str:
    assert promotion.next_content is not None
    before, after = (
        content.decode("utf-8-sig").splitlines(keepends=True)
        for content in (promotion.content, promotion.next_content)
    )
    return "".join(unified_diff(before, after, "now", "next", n=0))
