"""What was observed of users: one row at a time, and many rows column by column (R16).

A gate's question goes through millions of rows. A column of them is read, cut and counted as a whole.

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from shim.gate.user_numbers import Integers, Truths, UserNumbers
from shim.model import Role, Time

K = TypeVar("K", bound=Hashable)

NO_EVENT = -1
"""Stands for the event of the guard in a row that belongs to none."""


class Arm(NamedTuple):
    """Users whom the same percentages placed, and the monitor that acted for them.

    `group` is empty for users whom no percentages placed.
    """

    group: str
    role: Role


class ObservedRow(NamedTuple):
    """One thing that was observed of one user.

    Attributes:
        user: the name, or the key that stands for it (`user_key`).
        at: when it was known, in microseconds since 1970; the rows of a question come in this order.
        success: whether the decisions matched, the client came back, or the peer proved to be alive.
        arm: what the row is counted under; a crowd is one observation in each arm that has rows in it.
        run: the run of the process that found it out.
        guard_event: the event of the guard, in that run, that a proof of life belongs to (R6b).
    """

    user: str | int
    at: Time
    success: bool
    arm: Arm
    run: int
    guard_event: int | None = None


def user_key(user: str | int) -> int:
    """What stands for a user, in 64 bits.

    All rows of one question have their keys from one source: a store has others than this, and so has another
    process.
    """
    return hash(user) if isinstance(user, str) else user


def _empty(kind: type = np.int64) -> Any:
    return np.empty(0, kind)


@dataclass(slots=True)
class ObservedRows:
    """Many rows; each column has a value of every row. The columns are those of `ObservedRow`.

    `users` are keys, or the numbers of users once they are `numbered`; `arms` are places in `arm_table`. A row
    without an event of the guard has `NO_EVENT`. No column is ever changed.
    """

    arm_table: tuple[Arm, ...] = ()
    users: Integers = field(default_factory=_empty)
    times: Integers = field(default_factory=_empty)
    successes: Truths = field(default_factory=lambda: _empty(np.bool_))
    arms: Integers = field(default_factory=_empty)
    runs: Integers = field(default_factory=_empty)
    guard_events: Integers = field(default_factory=_empty)

    @staticmethod
    def of(rows: "Iterable[ObservedRow] | ObservedRows") -> "ObservedRows":
        """The same rows, as columns."""
        if isinstance(rows, ObservedRows):
            return rows
        columns = [*zip(*rows, strict=True)]
        if not columns:
            return ObservedRows()
        users, times, successes, arms, runs, events = columns
        table = {arm: place for place, arm in enumerate(dict.fromkeys(arms))}
        return ObservedRows(
            arm_table=tuple(table),
            users=np.array([*map(user_key, users)], np.int64),
            times=np.array(times, np.int64),
            successes=np.array(successes, np.bool_),
            arms=np.array([table[arm] for arm in arms], np.int64),
            runs=np.array(runs, np.int64),
            guard_events=np.array(
                [NO_EVENT if event is None else event for event in events], np.int64
            ),
        )

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[ObservedRow]:
        users, times, successes, arms, runs, events = (one.tolist() for one in self._columns)
        return map(
            ObservedRow,
            *(users, times, successes, map(self.arm_table.__getitem__, arms), runs),
            (None if event == NO_EVENT else event for event in events),
        )

    def __add__(self, later: "ObservedRows") -> "ObservedRows":
        """These rows, and then the others."""
        if not (len(self) and len(later)):
            return self if len(self) else later
        table = tuple(dict.fromkeys(self.arm_table + later.arm_table))
        places = np.array([table.index(arm) for arm in later.arm_table])
        later = replace(later, arms=places[later.arms])
        pairs = zip(self._columns, later._columns, strict=True)
        return ObservedRows(table, *map(np.concatenate, pairs))

    def numbered(self, numbers: UserNumbers) -> "ObservedRows":
        """The rows, with these numbers for the keys of their users."""
        return replace(self, users=numbers.of(self.users))

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return (
            *(self.users, self.times, self.successes),
            *(self.arms, self.runs, self.guard_events),
        )

    def part(self, begin: int, end: int | None = None) -> "ObservedRows":
        """The rows from one place on, up to another one (None: to the end)."""
        return self.where(slice(begin, end))

    def where(self, places: "slice | Integers | Truths") -> "ObservedRows":
        """The rows at these places, in their order."""
        return ObservedRows(self.arm_table, *(column[places] for column in self._columns))

    def split(self, key: Callable[[Arm], K | None]) -> "dict[K, ObservedRows]":
        """The rows whose arms have the same key, in the order in which the keys occur; None: left out."""
        keys = [key(arm) for arm in self.arm_table]
        occurring, firsts = np.unique(self.arms, return_index=True)
        in_order = [keys[place] for place in occurring[np.argsort(firsts)].tolist()]
        wanted = dict.fromkeys(in_order)
        return {
            each: self
            if len(wanted) == 1
            else self.where(np.array([one == each for one in keys])[self.arms])
            for each in wanted
            if each is not None
        }
