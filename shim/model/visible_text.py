"""Text from outside as people see it: characters that are invisible, or control a terminal, are escaped.

Clients choose ids, operators write reasons, captures come from elsewhere. In such a text a line end would forge
a line, an escape sequence would change the terminal, a mark of direction would turn the line around, and a
character without width would make two different ids look alike.
"""

import re

_BLANK = frozenset(
    map(
        chr,
        (
            0x034F,  # combining grapheme joiner
            *(0x115F, 0x1160, 0x3164, 0xFFA0),  # Hangul fillers
            *(0x17B4, 0x17B5),  # Khmer vowels without a shape
            *(0x180B, 0x180C, 0x180D, 0x180F),  # Mongolian variation selectors
            0x2800,  # the Braille pattern without dots
            *range(0xFE00, 0xFE10),  # variation selectors
            0x1D159,  # musical null note head
            *range(0xE0100, 0xE01F0),  # more variation selectors
        ),
    )
)
"""Characters that Unicode counts as printable, and that have no ink of their own."""

# In Python `$` also matches before a last line end; in JSON Schema it does not.
REASON = r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$(?!\n)"
SHORTEST_REASON, LONGEST_REASON = 3, 500
"""A reason of an order to the brake is one line of so many characters, with something to read."""


def is_reason(text: str) -> bool:
    """Whether an order to the brake may have this reason."""
    return SHORTEST_REASON <= len(text) <= LONGEST_REASON and bool(re.search(REASON, text))


USER_TAG = "[User:"
"""How a line of the log about a user begins."""


def is_visible(text: str) -> bool:
    """Whether each character can be seen, and moves a cursor by its own width only. A line end cannot."""
    return text.isprintable() and (text.isascii() or _BLANK.isdisjoint(text))


def show_invisible(text: str) -> str:
    r"""The text in one line, with escapes like `\n`, `\x1b` and `\u202e` for what is not visible."""
    if is_visible(text):
        return text
    return "".join(
        letter if is_visible(letter) else letter.encode("unicode_escape").decode()
        for letter in text
    )


def describe_id(text: str) -> str:
    """An id for the log: no square bracket in the id can end the tag `[User: …]`, or begin another one."""
    return show_invisible(text).replace("[", r"\x5b").replace("]", r"\x5d")


def describe_free_text(text: object) -> str:
    """A reason or an error for the log, in one line; it cannot contain another line's tag `[User: …]`."""
    return show_invisible(str(text)).replace(USER_TAG, rf"\x5b{USER_TAG[1:]}")
