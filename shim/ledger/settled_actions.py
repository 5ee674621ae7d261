"""Timeouts acted on whose outcome is known: one at a time, and many column by column (R15).

Rules: docs/design.md#r6b, docs/design.md#r14b, docs/design.md#r15.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shim.gate import Arm, ObservedRows
from shim.ledger.rows import Wall
from shim.model import Return


class SettledAction(NamedTuple):
    """A timeout acted on whose outcome is known (R15).

    Attributes:
        at: the end of its window.
        arm: who acted, and the group in which chance placed the user.
        proof: whether there was a proof of life (R14b).
        guard_event: the event of the guard that the proof belongs to (R6b); None: to none.
    """

    user: str
    at: Wall
    arm: Arm
    result: Return
    proof: bool
    run: int
    guard_event: int | None = None


@dataclass(slots=True)
class SettledActions:
    """Many of them; each column has a value of every action. The columns are those of `SettledAction`."""

    users: list[str]
    times: list[Wall]
    arms: list[Arm]
    results: list[Return]
    proofs: list[bool]
    runs: list[int]
    guard_events: list[int | None]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[SettledAction]:
        return map(
            SettledAction,
            *(self.users, self.times, self.arms, self.results),
            *(self.proofs, self.runs, self.guard_events),
        )

    def returns(self) -> ObservedRows[str]:
        """Returns and losses of users whom chance placed (R15)."""
        chosen = [
            bool(arm.group) and (result is Return.RETURNED or result is Return.LOST)
            for arm, result in zip(self.arms, self.results, strict=True)
        ]
        came_back = [result is Return.RETURNED for result in self.results]
        nothing: list[int | None] = [None] * len(self.users)
        return ObservedRows(self.users, self.times, came_back, self.arms, self.runs, nothing).where(
            chosen
        )

    def proofs_of_life(self) -> ObservedRows[str]:
        """Timeouts acted on, of users whom chance placed; success: a proof of life came (R14b)."""
        return ObservedRows(
            self.users, self.times, self.proofs, self.arms, self.runs, self.guard_events
        ).where([bool(arm.group) for arm in self.arms])
