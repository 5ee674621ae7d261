"""What was watched, minute by minute (R16).

Rules: docs/design.md#r15, docs/design.md#r16.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shim.gate.user_numbers import Integers, Truths
from shim.ledger.rows import Wall
from shim.model import Kind

KINDS = tuple(Kind)
"""A kind of connection as a number is a place here."""


@dataclass(slots=True)
class CoverageSums:
    """Minutes of runs and kinds; each column has a value of every minute.

    `kinds` are places in `KINDS`. `control_acted` and `candidate_acted` are connection-times; both are 0 if
    nobody was connected. The pings needed are `watched / intervals`, and not known where the interval is 0.
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

    def connected(self) -> Iterator[tuple[Kind, int, Wall, Wall, int]]:
        """Of each minute: kind, run, from when to when, and how many users."""
        kinds = map(KINDS.__getitem__, self.kinds.tolist())
        columns = (self.runs, self.since, self.at, self.users)
        return zip(kinds, *(column.tolist() for column in columns), strict=True)

    @property
    def users(self) -> Integers:
        """How many users were connected."""
        return self.control_users + self.candidate_users

    def where(self, chosen: Truths) -> "CoverageSums":
        """The minutes that are chosen."""
        return CoverageSums(*(getattr(self, name)[chosen] for name in self.__slots__))
