"""What was observed of users: one row at a time, and many rows column by column (R16).

A gate's question goes through millions of rows. A column of them is read, cut and counted as a whole.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple, TypeVar

from shim.model import Role, Time

K = TypeVar("K", bound=Hashable)


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


@dataclass(slots=True)
class ObservedRows:
    """Many rows; each column has a value of every row. The columns are those of `ObservedRow`."""

    users: list[str] = field(default_factory=list)
    times: list[Time] = field(default_factory=list)
    successes: list[bool] = field(default_factory=list)
    arms: list[Arm] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    guard_events: list[int | None] = field(default_factory=list)

    @classmethod
    def of(cls, rows: "Iterable[ObservedRow] | ObservedRows") -> "ObservedRows":
        """The same rows, as columns."""
        return rows if isinstance(rows, cls) else cls(*map(list, zip(*rows, strict=True)))

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[ObservedRow]:
        return map(ObservedRow, *self._columns)

    @property
    def _columns(self) -> tuple[list[Any], ...]:
        return (
            *(self.users, self.times, self.successes),
            *(self.arms, self.runs, self.guard_events),
        )

    def extend(self, rows: "ObservedRows") -> None:
        """Add rows at the end."""
        for column, more in zip(self._columns, rows._columns, strict=True):
            column.extend(more)

    def part(self, begin: int, end: int | None = None) -> "ObservedRows":
        """The rows from one place on, up to another one (None: to the end)."""
        return ObservedRows(*(column[begin:end] for column in self._columns))

    def at_places(self, places: Sequence[int]) -> "ObservedRows":
        """The rows at these places, in their order."""
        return ObservedRows(*([column[place] for place in places] for column in self._columns))

    def split(self, key: Callable[[Arm], K | None]) -> "dict[K, ObservedRows]":
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

    def where(self, chosen: Sequence[bool]) -> "ObservedRows":
        """The rows that are chosen."""
        return ObservedRows(*(list(compress(column, chosen)) for column in self._columns))
