"""Whom a rule is about: exact user ids and globs, matched in microseconds however many there are.

A regular expression of 10 000 alternatives costs milliseconds per user. Nearly all globs have a
literal head or tail (`*@example.com`, `test-*`), so they are found by that, in a dict; only globs
of one head and tail share a regular expression, compiled when a user first gets that far.
"""

import re
from collections.abc import Iterable
from fnmatch import translate

_WILDCARDS = re.compile(r"[*?\[]")
_ANY = "*"


class UserPatterns:
    """A set of user ids and globs: `*` any characters, `?` one, `[abc]` one of these.

    Case counts, and a pattern is about the whole id.
    """

    __slots__ = ("_globs", "_users")

    def __init__(self, patterns: Iterable[str]) -> None:
        users = set()
        # By the lengths of head and tail, then by head and tail themselves.
        globs: dict[tuple[int, int], dict[tuple[str, str], _Globs]] = {}
        for pattern in patterns:
            if not _WILDCARDS.search(pattern):
                users.add(pattern)
                continue
            head, tail = _head_and_tail(pattern)
            same_lengths = globs.setdefault((len(head), len(tail)), {})
            same_lengths.setdefault((head, tail), _Globs()).add(pattern, head, tail)
        self._users = frozenset(users)
        self._globs = globs

    def match(self, user: str) -> bool:
        if user in self._users:
            return True
        length = len(user)
        for (head, tail), globs in self._globs.items():
            # Head and tail may not overlap in the user: `ab*ba` is not about `aba`.
            if head + tail <= length:
                found = globs.get((user[:head], user[length - tail :]))
                if found is not None and found.match(user):
                    return True
        return False


class _Globs:
    """Globs of one literal head and tail."""

    __slots__ = ("_any", "_globs", "_regex")

    def __init__(self) -> None:
        self._any = False
        self._globs: list[str] = []
        self._regex: re.Pattern[str] | None = None

    def add(self, glob: str, head: str, tail: str) -> None:
        if glob == head + _ANY + tail:
            self._any = True
        self._globs.append(glob)

    def match(self, user: str) -> bool:
        """Whether one of them is about this user, who has their head and tail."""
        if self._any:
            return True
        if self._regex is None:
            self._regex = re.compile("|".join(map(translate, self._globs)))
        return self._regex.match(user) is not None


def _head_and_tail(glob: str) -> tuple[str, str]:
    """The literal text before the first wildcard and after the last one."""
    first = _WILDCARDS.search(glob)
    assert first is not None
    head = glob[: first.start()]
    # A bracket closes a set, and what lies in a set is no literal text.
    tail = re.split(r"[*?\[\]]", glob)[-1]
    return head, tail
