"""What is invisible in a text from outside is shown escaped, and no id forges a line of the log."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.model.visible_text import (
    describe_free_text,
    describe_id,
    is_reason,
    is_visible,
    show_invisible,
)

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
"""Every code point, lone surrogates too."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice@example.com", "alice@example.com"),
        ("Zoë [admin] 日本 👓 \\n", "Zoë [admin] 日本 👓 \\n"),
        ("Zoë\n", r"Zoë\n"),
        ("two\r\nlines\tand", r"two\r\nlines\tand"),
        ("\x1b[31mred\x07\x7f\x9b", r"\x1b[31mred\x07\x7f\x9b"),
        ("\u202eright\u2066to\u200eleft", r"\u202eright\u2066to\u200eleft"),
        ("a\u200bb\u200d\ufeffc\u00ad", r"a\u200bb\u200d\ufeffc\xad"),
        ("a\u2028b\u2029c\x85d", r"a\u2028b\u2029c\x85d"),
        ("no\u00a0break\u3000wide", r"no\xa0break\u3000wide"),
        ("\ud800\udfff", r"\ud800\udfff"),
        ("\ue000\U000e0041\uffff", r"\ue000\U000e0041\uffff"),
        ("\u115f\u3164\uffa0\u2800\u034f\ufe0f\U000e0100", None),
    ],
)
def test_examples(text: str, shown: str | None) -> None:
    expected = shown or "".join(f"\\u{ord(c):04x}" for c in text[:-1]) + r"\U000e0100"
    assert show_invisible(text) == expected


WITHOUT_INK = re.compile(
    "GRAPHEME JOINER|HANGUL .*FILLER|VOWEL INHERENT|VARIATION SELECTOR|PATTERN BLANK|NULL NOTEHEAD"
)
"""What Unicode's names say of characters that count as printable and have no ink of their own."""


def test_printable_characters_without_ink_are_invisible_and_no_others() -> None:
    for letter in map(chr, (*range(0x20000), *range(0xE0000, 0xE1000))):
        has_ink = not WITHOUT_INK.search(unicodedata.name(letter, ""))
        assert is_visible(letter) == (letter.isprintable() and has_ink), hex(ord(letter))


@given(ANY_TEXT)
def test_every_text_is_shown_in_one_line_of_visible_characters(text: str) -> None:
    shown = show_invisible(text)
    assert shown.isprintable()
    assert shown == show_invisible(shown)
    if text.isascii() and text.isprintable():
        assert shown == text


@given(ANY_TEXT)
def test_no_id_ends_its_tag_or_begins_another(text: str) -> None:
    assert not set("[]\n") & set(describe_id(text))


@given(ANY_TEXT, ANY_TEXT)
def test_no_reason_has_the_tag_of_a_user(before: str, after: str) -> None:
    assert "[User:" not in describe_free_text(f"{before}[User: bob] {after}")


def test_a_reason_shows_which_tag_it_had() -> None:
    assert describe_free_text("of [User: bob]\n[b]") == r"of \x5bUser: bob]\n[b]"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("too many lost", True),
        (" a ", True),
        ("", False),
        ("   ", False),
        ("one\ntwo", False),
        ("one\n", False),
        ("two", True),
        ("no", False),
        ("x" * 500, True),
        ("x" * 501, False),
    ],
)
def test_a_reason_is_one_line_of_3_to_500_characters_with_something_to_read(
    text: str, allowed: bool
) -> None:
    """The lengths are those of the API."""
    assert is_reason(text) is allowed
