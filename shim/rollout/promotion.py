"""The next flags file: proposed by the plan, and put in place when its step is permitted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from shim.flags import Targeting
from shim.gate import Standing
from shim.model import InputError, Problem, Time
from shim.rollout.changes import Change, record_change
from shim.rollout.editing import with_percent
from shim.rollout.promotion_plan import Facts, PlannedStep, Proposal, propose
from shim.rollout.writing import replace_file
from shim.settings import parse_flags
from shim.settings.yamlfile import read_bytes


@dataclass(frozen=True, slots=True)
class Promotion:
    """A flags file, what the plan proposes for it, and the next file (None: there is no next step).

    `at` is when it was looked at, in wall-clock microseconds.
    """

    at: Time
    path: Path
    content: bytes
    targeting: Targeting
    proposal: Proposal
    next_content: bytes | None = None
    next_targeting: Targeting | None = None

    @property
    def digest(self) -> str:
        return sha256(self.content).hexdigest()


def prepare(
    path: Path, steps: Sequence[PlannedStep], facts_of: Callable[[str], Facts]
) -> Promotion:
    """What comes next for this file; `facts_of` tells what is known of a file by its digest.

    Raises InputError if the file cannot be used.
    """
    content = read_bytes(path)
    targeting = parse_flags(content, str(path))
    facts = facts_of(sha256(content).hexdigest())
    proposal = propose(targeting, steps, facts)
    promotion = Promotion(
        at=facts.now, path=path, content=content, targeting=targeting, proposal=proposal
    )
    if proposal.percent is None:
        return promotion
    return replace(
        promotion,
        next_content=with_percent(content, proposal.percent, str(path)),
        next_targeting=replace(targeting, percent=proposal.percent),
    )


def put_in_place(promotion: Promotion, by: str, reason: str) -> Change:
    """Replace the file by the next one, and leave a record of it (`changes`).

    Raises InputError if it cannot be written, or is not the file that was looked at any more.
    """
    content = promotion.next_content
    assert content is not None, "there is no next step"
    path = promotion.path
    if read_bytes(path) != promotion.content:
        raise InputError(Problem("has changed meanwhile; look at it again", str(path)))
    at = datetime.fromtimestamp(promotion.at / 1_000_000, UTC).isoformat(timespec="seconds")
    after = sha256(content).hexdigest()
    change = Change(at=at, by=by, reason=reason, before=promotion.digest, after=after)
    # The record comes first, so that it exists when the new file is seen.
    try:
        record_change(path, change)
    except OSError as error:
        problem = f"its record of changes cannot be written: {error.strerror}"
        raise InputError(Problem(problem, str(path))) from None
    replace_file(path, content)
    return change


def advance_by_itself(
    path: Path, steps: Sequence[PlannedStep], facts_of: Callable[[str], Facts]
) -> Change | None:
    """Take the next step if nothing is missing; None if something is missing.

    For a running shim, once a minute, in a thread: it reads files. Raises InputError like `prepare`.
    """
    promotion = prepare(path, steps, facts_of)
    if promotion.next_content is None or promotion.proposal.standing is not Standing.MET:
        return None
    return put_in_place(promotion, "shim (by itself)", describe_step(promotion))


def describe_step(promotion: Promotion) -> str:
    """Why the next step may be taken: for the record."""
    proposal = promotion.proposal
    number = 1 if proposal.step is None else proposal.step + 2
    shown = "; ".join(f"{check.name}: {check.words}" for check in proposal.checks)
    return f"step {number} of {proposal.steps} by plan ({shown})"
