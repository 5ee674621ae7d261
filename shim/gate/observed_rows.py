"""What was observed of users: one row at a time, and many rows column by column (R16).

A gate's question goes through millions of rows. A column of them is read, cut and counted as a whole. To count
by users, their names become numbers.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Generic, NamedTuple, TypeVar

from shim.model import Role, Time

K = TypeVar("K", bound=Hashable)
U = TypeVar("U")
"""A user: the name, or a number that stands for it."""


class Arm(NamedTuple):
    """Users whom the same percentages placed, and the monitor that acted for them.

    `group` is empty for users whom no percentages placed.
    """

    group: str
    role: Role


class ObservedRow(NamedTuple):
    """One thing that was observed of one user.

    Attributes:
        at: when it was known, in microseconds since 1970; the rows of a question come in this order.
        success: whether the decisions matched, the client came back, or the peer proved to be alive.
        arm: what the row is counted under; a crowd is one observation in each arm that has rows in it.
        run: the run of the process that found it out.
        guard_event: the event of the guard, in that run, that a proof of life belongs to (R6b).
    """

    user: str
    at: Time
    success: bool
    arm: Arm
    run: int
    guard_event: int | None = None


class UserNumbers(dict[str, int]):
    """Numbers users in the order in which they occur, from 0."""

    def __missing__(self, user: str) -> int:
        number = self[user] = len(self)
        return number


@dataclass(slots=True)
class ObservedRows(Generic[U]):
    """Many rows; each column has a value of every row. The columns are those of `ObservedRow`.

    No column is ever changed: where a part has all the rows, it is the same object.
    """

    users: list[U] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    guard_events: list[int | None] = field(default_factory=list)

    @staticmethod
    def of(rows: "Iterable[ObservedRow] | ObservedRows[str]") -> "ObservedRows[str]":
        """The same rows, as columns."""
        if isinstance(rows, ObservedRows):
            return rows
        return ObservedRows(*map(list, zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self: "ObservedRows[str]") -> Iterator[ObservedRow]:
        return map(ObservedRow, *self._columns)

    def __add__(self, later: "ObservedRows[U]") -> "ObservedRows[U]":
        """These rows, and then the others."""
        if not (self and later):
            return self or later
        pairs = zip(self._columns, later._columns, strict=True)
        return ObservedRows(*(column + more for column, more in pairs))

    def numbered(self: "ObservedRows[str]", numbers: UserNumbers) -> "ObservedRows[int]":
        """The rows, with these numbers for the names of their users."""
        users = [*map(numbers.__getitem__, self.users)]
        return ObservedRows(users, *self._columns[1:])

    @property
    def _columns(self) -> tuple[list[Any], ...]:
        return (
            *(self.users, self.times, self.successes),
            *(self.arms, self.runs, self.guard_events),
        )

    def part(self, begin: int, end: int | None = None) -> "ObservedRows[U]":
        """The rows from one place on, up to another one (None: to the end)."""
        if not begin and (end is None or end >= len(self)):
            return self
        return ObservedRows(*(column[begin:end] for column in self._columns))

    def at_places(self, places: Sequence[int]) -> "ObservedRows[U]":
        """The rows at these places, in their order."""
        return ObservedRows(*([column[place] for place in places] for column in self._columns))

    def split(self, key: Callable[[Arm], K | None]) -> "dict[K, ObservedRows[U]]":
        """The rows whose arms have the same key, in the order in which the keys occur; None: left out."""
        keys = {arm: key(arm) for arm in dict.fromkeys(self.arms)}
        wanted = dict.fromkeys(keys.values())
        return {
            each: self
            if len(wanted) == 1
            else self.where([one == each for one in map(keys.__getitem__, self.arms)])
            for each in wanted
            if each is not None
        }

    def where(self, chosen: Sequence[bool]) -> "ObservedRows[U]":
        """The rows that are chosen."""
        return ObservedRows(*(list(compress(column, chosen)) for column in self._columns))
