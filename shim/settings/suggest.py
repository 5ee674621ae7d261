"""What is said of a misspelt word: the one that was probably meant, and all that there are."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def suggestion(word: Any, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing."""
    # Words of a file can be long, and comparing them is quadratic.
    if not isinstance(word, str) or len(word) > 40:
        return ""
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The reason for refusing a key."""
    known = list(known)
    if not known:
        return "unknown key"
    return f"unknown key{suggestion(key, known)}; known are {', '.join(known)}"
