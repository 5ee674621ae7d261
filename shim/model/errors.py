"""Errors that a person caused and can repair: each says where the error is, and what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass


class ShimError(Exception):
    """The base of every error the shim raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an input: the file, the line (from 1) and the path to the key, if known."""

    reason: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self._place, self.path, self.reason) if part)

    @property
    def without_names(self) -> str:
        """The problem without what stands in the file: its keys and values may name users."""
        if self.line is None and self.path is None:
            return str(self)
        return f"{self._place}: the reason may name users, so only operators see it"

    @property
    def _place(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part)


class InputError(ShimError):
    """An input that cannot be used, with every problem in it; no part of the input was applied."""

    def __init__(self, problems: Sequence[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def without_names(self) -> str:
        """The problems without what stands in the file, which may name users."""
        return "\n".join(problem.without_names for problem in self.problems)
