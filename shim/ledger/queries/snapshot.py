"""The ledger at one moment, whatever the engine, and conditions put together from values.

No text from outside becomes part of a statement: the conditions are constants, the values parameters.

A statement is written for both engines: `?` stands for a value, `user` is quoted, a truth is a condition of
its own (`recovered`, not `recovered = 1`), and a division that is not of integers begins with a
`CAST(… AS DOUBLE PRECISION)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np

from shim.gate.user_numbers import NEVER, Integers
from shim.ledger.rows import Row

R = TypeVar("R", bound=Row)


class Conditions:
    """Terms that all have to hold, and the values in them."""

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: list[Any] = []

    def add(self, term: str, *values: Any) -> "Conditions":
        """A term with a `?` for each value; left out where a value is None."""
        if None not in values:
            self._terms.append(term)
            self.values += values
        return self

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""


class FoundColumns(NamedTuple):
    """Very many rows, column by column.

    Attributes:
        table: the different values that rows have in the columns of few, in their order.
        places: of each row, where its values are in `table`.
        numbers: the other columns, with a number of each row.
    """

    table: Sequence[tuple[Any, ...]]
    places: Integers
    numbers: Sequence[Integers]

    def spread(self, values: Iterable[int]) -> Integers:
        """What each row has of these values, which are those of the rows of `table`."""
        return np.array([*values], np.int64)[self.places]

    def in_order(self, by: Integers) -> "FoundColumns":
        """The rows by these numbers of theirs, those of one number in the order of `table`."""
        order = np.argsort((by - by.min(initial=NEVER)) * len(self.table) + self.places)
        return FoundColumns(
            self.table, self.places[order], [column[order] for column in self.numbers]
        )


class Snapshot(ABC):
    """The ledger at one moment."""

    @abstractmethod
    def ask(self, statement: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        """The rows that a statement finds. Texts are compared in the form in which they are stored."""

    @abstractmethod
    def stream(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The same, a few thousand rows at a time: for more rows than the memory has room for."""

    USER: ClassVar[str]
    """In a statement: the number that stands for a user, as `columns` wants to have it."""

    @abstractmethod
    def columns(
        self, few: Sequence[str], numbers: Sequence[str], found: str, *values: Any
    ) -> "FoundColumns":
        """The rows of a statement `SELECT few, numbers found`, in no order: for very many rows.

        `few` have few different values. `numbers` are whole numbers of up to 64 bits, and never null.
        """

    def rows(
        self, row: type[R], conditions: Conditions, order: str, limit: int | None = None
    ) -> list[R]:
        """Rows of a table."""
        keys = ("id AS run", "id", "NULL") if row.TABLE == "run" else ("run", "id", "number")
        names = (*map(quoted, row.columns()), *keys)
        statement = f"SELECT {', '.join(names)} FROM {row.TABLE} {conditions} ORDER BY {order}"
        if limit is not None:
            statement += f" LIMIT {int(limit)}"
        fields = (*row.columns(), *Row.__struct_fields__)
        return [
            row.read(dict(zip(fields, values, strict=True)))
            for values in self.ask(statement, *conditions.values)
        ]


class SnapshotReader(ABC):
    """Takes a snapshot for each answer, or one for several."""

    _moment: Snapshot | None = None

    @abstractmethod
    def take_snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open the ledger. Raises UnusableError if there is none, or it cannot be read."""

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The ledger for one answer. Raises UnusableError if there is none, or it cannot be read."""
        if self._moment is not None:
            yield self._moment
        else:
            with self.take_snapshot() as snapshot:
                yield snapshot

    @contextmanager
    def at_one_moment(self) -> Iterator[Self]:
        """A reader whose answers are all of this moment; for one thread at a time."""
        with self.snapshot() as snapshot:
            reader = copy(self)
            reader._moment = snapshot
            yield reader

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One question that is an answer."""
        with self.snapshot() as ledger:
            return list(ledger.ask(statement, *values))


def quoted(column: str) -> str:
    """A column's name in a statement; `user` alone is something else to PostgreSQL."""
    return f'"{column}"'
