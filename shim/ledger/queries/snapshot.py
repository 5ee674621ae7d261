"""The ledger at one moment, whatever the engine, and conditions put together from values.

No text from outside becomes part of a statement: the conditions are constants, the values parameters.

A statement is written for both engines: `?` stands for a value, `user` is quoted, a truth is a condition of
its own (`recovered`, not `recovered = 1`), and a division that is not of integers begins with a
`CAST(… AS DOUBLE PRECISION)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, TypeVar

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


class Snapshot(ABC):
    """The ledger at one moment."""

    @abstractmethod
    def ask(self, statement: str, *values: Any) -> Iterable[tuple[Any, ...]]:
        """The rows that a statement finds. Texts are compared in the form in which they are stored."""

    def columns(self, names: Sequence[str], found: str, *values: Any) -> list[list[Any]]:
        """The rows of a statement `SELECT names found`, column by column: for very many rows."""
        statement = f"SELECT {', '.join(names)} {found}"
        flat = list(chain.from_iterable(self.ask(statement, *values)))
        return [flat[place :: len(names)] for place in range(len(names))]

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
    """Takes a snapshot for each answer."""

    @abstractmethod
    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open the ledger for one answer. Raises UnusableError if there is none, or it cannot be read."""

    def ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One question that is an answer."""
        with self.snapshot() as ledger:
            return list(ledger.ask(statement, *values))


def quoted(column: str) -> str:
    """A column's name in a statement; `user` alone is something else to PostgreSQL."""
    return f'"{column}"'
