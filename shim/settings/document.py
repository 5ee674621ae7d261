"""A file that was read, as a tree that knows where each key stands, and the problems found in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from shim.model import InputError, Problem


class Unusable:
    """Stands for a value that was refused already; nothing more is said about it."""


UNUSABLE: Final = Unusable()

KeyPath: TypeAlias = tuple[str | int, ...]
"""From the root of the file: keys of mappings, and indexes (from 0) in lists."""

Value: TypeAlias = (
    "None | bool | int | Decimal | date | str | dict[str, Node] | list[Node] | Unusable"
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

    def plain(self) -> Any:
        """The value as Python data. What is unusable is missing in mappings, and None elsewhere."""
        match self.value:
            case dict():
                return {
                    key: node.plain()
                    for key, node in self.value.items()
                    if node.value is not UNUSABLE
                }
            case list():
                return [node.plain() for node in self.value]
            case Unusable():
                return None
            case Decimal():
                return float(self.value)
        return self.value


class Document:
    """One file: its root, if it could be read, and everything that is wrong with it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self._problems: list[Problem] = []

    def report(self, path: KeyPath, reason: str) -> None:
        """A problem with what is at `path`, or with its nearest parent that exists."""
        node = self.root
        for step in path:
            child = _child(node, step)
            if child is None:
                break
            node = child
        if node is None:
            self.report_at(1, 1, reason, path)
        elif node.value is not UNUSABLE:
            self.report_at(node.line, node.column, reason, path)

    def report_at(
        self, line: int | None, column: int | None, reason: str, path: KeyPath = ()
    ) -> None:
        """A problem at a place, lines and columns from 1."""
        self._problems.append(Problem(reason, self.file, line, column, path_text(path) or None))

    def has_problem_below(self, path: KeyPath) -> bool:
        """Whether something at `path` or inside it was refused."""
        text = path_text(path)
        return any(
            found.path is not None and found.path[: len(text)] == text for found in self._problems
        )

    def raise_problems(self) -> None:
        """Raise InputError with all problems, in the order of the file; nothing if there are none."""
        if self._problems:
            raise InputError(
                sorted(self._problems, key=lambda problem: (problem.line or 0, problem.column or 0))
            )


def path_text(path: KeyPath) -> str:
    """A path in words, such as `rules[0].percent.live`."""
    words = ""
    for step in path:
        if isinstance(step, int):
            words += f"[{step}]"
        else:
            words += f".{step}" if words else step
    return words


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What is said of a key that does not exist: the one that was meant, else all there are."""
    known = list(known)
    if close := get_close_matches(key, known, n=1):
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; there are {', '.join(known)}" if known else "unknown key"


def _child(node: Node | None, step: str | int) -> Node | None:
    match node, step:
        case Node(value=dict(children)), str():
            return children.get(step)
        case Node(value=list(items)), int() if step < len(items):
            return items[step]
    return None
