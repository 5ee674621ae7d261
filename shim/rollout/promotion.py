"""The next flags file: proposed by the plan, and put in place when its step is permitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from shim.flags.targeting import Targeting
from shim.gate.answer import Standing
from shim.model import Time
from shim.model.time import format_utc
from shim.rollout.changes import Change
from shim.rollout.editing import with_percent
from shim.rollout.flags_place import ChangedMeanwhileError, FlagsPlace
from shim.rollout.promotion_plan import Facts, Proposal, propose
from shim.settings.flags_file import parse_flags
from shim.settings.promotion_settings import StepSettings

BY_ITSELF = "shim (by itself)"
"""Who has taken a step that no person took."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A flags file, what the plan proposes for it, and the next file (None: there is no next step).

    `at` is when it was looked at, in wall-clock microseconds.
    """

    at: Time
    place: FlagsPlace
    content: bytes
    targeting: Targeting
    proposal: Proposal
    next_content: bytes | None = None
    next_targeting: Targeting | None = None

    @property
    def digest(self) -> str:
        return sha256(self.content).hexdigest()


def prepare(
    place: FlagsPlace, steps: Sequence[StepSettings], facts_of: Callable[[str], Facts]
) -> Promotion:
    """What comes next for this file; `facts_of` tells what is known of a file by its digest.

    Raises InputError if the file cannot be used.
    """
    content = place.read()
    targeting = parse_flags(content, place.name)
    facts = facts_of(sha256(content).hexdigest())
    proposal = propose(targeting, steps, facts)
    promotion = Promotion(
        at=facts.now, place=place, content=content, targeting=targeting, proposal=proposal
    )
    if proposal.percent is None:
        return promotion
    return replace(
        promotion,
        next_content=with_percent(content, proposal.percent, place.name),
        next_targeting=replace(targeting, percent=proposal.percent),
    )


def put_in_place(promotion: Promotion, by: str, reason: str) -> Change:
    """Replace the file by the next one, and leave a record of it (`changes`).

    Raises ChangedMeanwhileError if it is not the file that was looked at any more, and InputError if it cannot
    be written.
    """
    content = promotion.next_content
    assert content is not None, "there is no next step"
    at = format_utc(promotion.at)
    after = sha256(content).hexdigest()
    change = Change(at=at, by=by, reason=reason, before=promotion.digest, after=after)
    promotion.place.replace(promotion.content, content, change)
    return change


def advance_by_itself(
    place: FlagsPlace, steps: Sequence[StepSettings], facts_of: Callable[[str], Facts]
) -> Change | None:
    """Take the next step if nothing is missing; None if something is missing.

    None, too, if another process of the fleet has taken it meanwhile, or anything else has changed. For a
    running shim, once a minute, in a thread: it reads files. Raises InputError like `prepare`.
    """
    promotion = prepare(place, steps, facts_of)
    if promotion.next_content is None or promotion.proposal.standing is not Standing.MET:
        return None
    try:
        return put_in_place(promotion, BY_ITSELF, describe_step(promotion))
    except ChangedMeanwhileError:
        return None


def describe_step(promotion: Promotion) -> str:
    """Why the next step may be taken: for the record."""
    proposal = promotion.proposal
    number = 1 if proposal.step is None else proposal.step + 2
    shown = "; ".join(f"{check.name}: {check.words}" for check in proposal.checks)
    return f"step {number} of {proposal.steps} by plan ({shown})"
