"""The users of rules: exact user ids and globs, found in microseconds however many there are.

A regular expression of 10 000 alternatives costs milliseconds per user, and so do 10 000 rules asked
one by one. Nearly all globs have some literal text (`*@example.com`, `test-*`, `*-team-7-*`), so all
rules are looked up together: by exact id, then by the head and tail of their globs, then by the
longest literal text between. Only globs whose literal text is in the user's id are asked one by one.
"""

import re
from collections.abc import Iterable
from fnmatch import translate

_ANY = "*"
# As fnmatch sees it: a bracket that is never closed is literal, and `]` may come first in a set.
_WILDCARD = re.compile(r"\*|\?|\[!?+\]?+[^\]]*\]")
# Private-use characters: no user id has them, so only wildcards match them.
_STRANGE = "\ue000"

STRANGER = _STRANGE * 50
"""A user whom only the wildcards of globs are about."""


class UserPatterns:
    """Lists of user ids and globs: `*` any characters, `?` one, `[abc]` one of these.

    Case counts, and a pattern is about the whole id.
    """

    __slots__ = ("_globs", "_users")

    def __init__(self, lists: Iterable[Iterable[str]]) -> None:
        self._users: dict[str, list[int]] = {}
        # By the lengths of head and tail, then by head and tail themselves.
        self._globs: dict[tuple[int, int], dict[tuple[str, str], _Globs]] = {}
        for index, patterns in enumerate(lists):
            for pattern in patterns:
                self._add(pattern, index)

    def _add(self, pattern: str, index: int) -> None:
        head, *inner = split_glob(pattern)
        if not inner:
            self._users.setdefault(pattern, []).append(index)
            return
        tail = inner.pop()
        same_lengths = self._globs.setdefault((len(head), len(tail)), {})
        globs = same_lengths.setdefault((head, tail), _Globs())
        if pattern == head + _ANY + tail:
            globs.plain.append(index)
        else:
            globs.add(_Glob(pattern, index), max(inner, key=len, default=""))

    def lists_with(self, user: str) -> list[int]:
        """The indexes of the lists that name the user, in order."""
        if not self._globs and user not in self._users:
            return []
        found = set(self._users.get(user, ()))
        length = len(user)
        for (head, tail), same_lengths in self._globs.items():
            # Head and tail may not overlap in the user: `ab*ba` is not about `aba`.
            if head + tail <= length:
                globs = same_lengths.get((user[:head], user[length - tail :]))
                if globs is not None:
                    found.update(globs.matching(user))
        return sorted(found)


def split_glob(pattern: str) -> list[str]:
    """The literal texts before, between and after the wildcards; one alone for an exact id."""
    return _WILDCARD.split(pattern)


def is_glob(pattern: str) -> bool:
    """Whether the pattern has a wildcard; otherwise it is an exact id."""
    return _WILDCARD.search(pattern) is not None


def example_user(glob: str) -> str:
    """A user whom the glob names, and no other glob that does not name all such users.

    Of a set (`[abc]`) it is the first member; a set without members (`[b-a]`) names nobody.
    """
    return _WILDCARD.sub(lambda wildcard: _stand_in(wildcard[0]), glob)


def _stand_in(wildcard: str) -> str:
    if wildcard == _ANY:
        return STRANGER
    return _STRANGE if wildcard == "?" or wildcard[1] == "!" else wildcard[1]


class _Glob:
    """A pattern of the list `index`; compiled when a user first gets that far."""

    __slots__ = ("_pattern", "_regex", "index")

    def __init__(self, pattern: str, index: int) -> None:
        self._pattern = pattern
        self._regex: re.Pattern[str] | None = None
        self.index = index

    def match(self, user: str) -> bool:
        if self._regex is None:
            self._regex = re.compile(translate(self._pattern))
        return self._regex.match(user) is not None


class _Globs:
    """Globs of one literal head and tail; `plain` are the lists with `head*tail` itself."""

    __slots__ = ("_by_literal", "plain")

    def __init__(self) -> None:
        self.plain: list[int] = []
        # By the length of the literal, then by the literal.
        self._by_literal: dict[int, dict[str, list[_Glob]]] = {}

    def add(self, glob: _Glob, literal: str) -> None:
        """A glob that is only about users with this text in their id."""
        self._by_literal.setdefault(len(literal), {}).setdefault(literal, []).append(glob)

    def matching(self, user: str) -> set[int]:
        """The lists with a glob about this user, who has the head and the tail."""
        found = set(self.plain)
        for length, globs in self._by_literal.items():
            for start in range(len(user) - length + 1):
                for glob in globs.get(user[start : start + length], ()):
                    if glob.index not in found and glob.match(user):
                        found.add(glob.index)
                if not length:
                    break
        return found
