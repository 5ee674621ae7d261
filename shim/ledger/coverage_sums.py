"""What was watched, minute by minute: one minute of a run at a time, and many column by column (R16).

Rules: docs/design.md#r15, docs/design.md#r16.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from shim.gate.user_numbers import Integers, Truths
from shim.ledger.rows import Wall
from shim.model import Duration, Kind

KINDS = tuple(Kind)
"""A kind of connection as a number is a place here."""


class CoverageSum(NamedTuple):
    """One minute of one run and kind: `needed` are the pings that full coverage takes.

    `control_acted` and `candidate_acted` are connection-times; both are 0 if nobody was connected.
    """

    run: int
    kind: Kind
    since: Wall
    at: Wall
    control_acted: Duration
    candidate_acted: Duration
    control_users: int
    candidate_users: int
    pings: int
    needed: float | None


@dataclass(slots=True)
class CoverageSums:
    """Many minutes; each column has a value of every minute.

    `kinds` are places in `KINDS`. The pings needed are `watched / intervals`, and not known where the interval
    is 0.
    """

    runs: Integers
    kinds: Integers
    intervals: Integers
    since: Integers
    at: Integers
    control_acted: Integers
    candidate_acted: Integers
    control_users: Integers
    candidate_users: Integers
    pings: Integers
    watched: Integers

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[CoverageSum]:
        runs, kinds, intervals, *sums, watched = (column.tolist() for column in self._columns)
        needed = [
            time / interval if interval else None
            for time, interval in zip(watched, intervals, strict=True)
        ]
        return map(CoverageSum, runs, map(KINDS.__getitem__, kinds), *sums, needed)

    @property
    def users(self) -> Integers:
        """How many users were connected."""
        return self.control_users + self.candidate_users

    def where(self, chosen: Truths) -> "CoverageSums":
        """The minutes that are chosen."""
        return CoverageSums(*(column[chosen] for column in self._columns))

    @property
    def _columns(self) -> tuple[Integers, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)
