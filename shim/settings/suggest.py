"""What a misspelt word was probably meant to be."""

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
