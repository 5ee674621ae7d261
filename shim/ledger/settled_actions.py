"""Timeouts acted on whose outcome is known (R15).

Rules: docs/design.md#r6b, docs/design.md#r14b, docs/design.md#r15.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from shim.gate.observed_rows import NO_EVENT, ObservedRows
from shim.gate.user_numbers import Integers, Truths
from shim.model import Return, Role

RESULTS = tuple(Return)
"""A result as a number is a place here."""


@dataclass(slots=True)
class SettledActions:
    """A row for each: its time is the end of its window, its arm says who acted, and success is a proof of life
    (R14b). `results` has a value for each row, a place in `RESULTS`."""

    rows: ObservedRows
    results: Integers

    def __len__(self) -> int:
        return len(self.rows)

    def outcomes(self) -> Counter[tuple[Role, Return]]:
        """How often each result came after each monitor's closing."""
        pairs = Counter(zip(self.rows.arms.tolist(), self.results.tolist(), strict=True))
        counts: Counter[tuple[Role, Return]] = Counter()
        for (arm, result), number in pairs.items():
            counts[self.rows.arm_table[arm].role, RESULTS[result]] += number
        return counts

    def proofs(self) -> Counter[Role]:
        """How many proofs of life came after each monitor's closing."""
        proving = self.rows.where(self.rows.successes)
        return Counter(proving.arm_table[arm].role for arm in proving.arms.tolist())

    def returns(self) -> ObservedRows:
        """Returns and losses of users whom chance placed (R15)."""
        came_back = self.results == RESULTS.index(Return.RETURNED)
        known = came_back | (self.results == RESULTS.index(Return.LOST))
        nothing = np.full(len(self), NO_EVENT)
        rows = replace(self.rows, successes=came_back, guard_events=nothing)
        return rows.where(known & self._placed_by_chance)

    def proofs_of_life(self) -> ObservedRows:
        """Timeouts acted on, of users whom chance placed; success: a proof of life came (R14b)."""
        return self.rows.where(self._placed_by_chance)

    @property
    def _placed_by_chance(self) -> Truths:
        by_chance = np.array([bool(arm.group) for arm in self.rows.arm_table], np.bool_)
        return by_chance[self.rows.arms]
