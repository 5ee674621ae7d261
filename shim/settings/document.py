"""A file that was read: a tree that knows where each key stands, and the problems found in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Final, TypeAlias

from shim.model import InputError, Problem


class Unusable:
    """Stands for a value that is missing or was refused already: nothing more is said about it."""


UNUSABLE: Final = Unusable()

MAX_PROBLEMS = 1000
"""The most problems that are collected. (A file could have a million.)"""

KeyPath: TypeAlias = tuple[str | int, ...]
"""From the root of the file: keys of mappings, and indexes (from 0) in lists."""

Value: TypeAlias = (
    "bool | int | Decimal | date | str | dict[str, Node] | list[Node] | Unusable | None"
)


@dataclass(slots=True)
class Node:
    """A value and its place, lines and columns from 1: that of its key, where it has one.

    `text` is what a scalar looks like in the file.
    """

    value: Value
    line: int
    column: int
    text: str = ""

    def child(self, step: str | int) -> "Node | None":
        """What is at this key or index, if anything."""
        match self.value, step:
            case dict(children), str():
                return children.get(step)
            case list(items), int() if step < len(items):
                return items[step]
        return None

    def plain(self, *, exact: bool = False) -> Any:
        """The value as Python data; what is unusable is None. `exact` keeps numbers decimal."""
        match self.value:
            case dict(children):
                return {key: node.plain(exact=exact) for key, node in children.items()}
            case list(items):
                return [node.plain(exact=exact) for node in items]
            case Decimal() if not exact:
                return float(self.value)
            case Unusable():
                return None
        return self.value


class Document:
    """One file: its digest (SHA-256, if somebody asks for it), its root, if it could be read, and everything
    that is wrong with it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.digest: str | None = None
        self.root: Node | None = None
        self._problems: list[Problem] = []

    def report(self, line: int | None, column: int | None, reason: str, path: KeyPath = ()) -> None:
        """A problem at a place, lines and columns from 1; raises InputError if there are too many."""
        if len(self._problems) == MAX_PROBLEMS:
            self.raise_problems()
        self._problems.append(
            Problem(
                reason=reason,
                file=self.file,
                line=line,
                column=column,
                path=format_path(path) or None,
            )
        )

    def report_path(self, path: KeyPath, reason: str) -> None:
        """A problem with what is at `path`, placed at its nearest parent if it does not exist."""
        node = self.root or Node(None, 1, 1)
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        if node.value is not UNUSABLE:
            self.report(node.line, node.column, reason, path)

    def blame(self, path: KeyPath, error: InputError) -> InputError:
        """The error, with the value at `path` to blame; of a default there is no line to tell."""
        node: Node | None = self.root
        for step in path:
            node = node.child(step) if node else None
        line, column = (node.line, node.column) if node else (None, None)
        return type(error)(
            [
                Problem(
                    reason=str(problem),
                    file=self.file,
                    line=line,
                    column=column,
                    path=format_path(path),
                )
                for problem in error.problems
            ]
        )

    def raise_problems(self) -> None:
        """Raise InputError with the problems, if any, in the order of the file."""
        if not self._problems:
            return
        problems = sorted(
            self._problems, key=lambda problem: (problem.line or 0, problem.column or 0)
        )
        if len(problems) == MAX_PROBLEMS:
            problems.append(Problem(f"after {MAX_PROBLEMS} problems no more is read", self.file))
        raise InputError(problems)


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that settings came from, if any. It is no part of what they say: all are equal."""

    document: Document | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The file, as messages name it."""
        return "the settings" if self.document is None else self.document.file

    @property
    def digest(self) -> str | None:
        """The SHA-256 of the file as it was read, in hex."""
        return None if self.document is None else self.document.digest

    @contextmanager
    def of(self, *path: str, errors: type[InputError] = InputError) -> Iterator[None]:
        """Inside it the value at `path` is put to use; `errors` are those that it may be blamed for."""
        try:
            yield
        except errors as error:
            if self.document is None:
                raise
            raise self.document.blame(path, error) from None


def format_path(path: KeyPath) -> str:
    """A path as text, such as `rules[0].percent.live`."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f"[{step}]"
        else:
            words += f".{step}" if words else step
    return words
