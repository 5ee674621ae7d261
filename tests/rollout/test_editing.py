"""Widths change, everything else in the file stays byte for byte."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.flags.targeting import Percentages
from shim.model import InputError
from shim.rollout.editing import with_percent
from shim.settings.flags_file import parse_flags
from tests.settings.test_flags_file import BLOCK, FLOW

TARGET = Percentages(live=Decimal("12.50"), shadow=87)
BLOCK_STYLE = BLOCK.replace(
    "percent: {complete: 0, live: 1, shadow: 10}",
    "percent:   # for everybody\n    live: 1  # soon more\n    shadow:   10 # watched\n# the end",
)


def edited(text: str, percent: Percentages = TARGET) -> str:
    return with_percent(text.encode(), percent, "f").decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "percent: {complete: 0, live: 1, shadow: 10}",
            "percent: {complete: 0, live: 12.5, shadow: 87}",
        ),
        ("percent: {shadow:  10 , live: 1.0}", "percent: {shadow:  87 , live: 12.5}"),
        ("percent: {}", "percent: {live: 12.5, shadow: 87}"),
        ("percent: {shadow: 87, } # c", "percent: {shadow: 87, live: 12.5, } # c"),
        ("percent: {live: 12.500}", "percent: {live: 12.500, shadow: 87}"),
        ("percent:\n  live: 1 # c", "percent:\n  live: 12.5 # c\n  shadow: 87"),
        ("percent:\n  shadow: 87\n\n# end", "percent:\n  shadow: 87\n  live: 12.5\n\n# end"),
    ],
)
def test_only_the_numbers_change(before: str, after: str) -> None:
    line = "percent: {complete: 0, live: 1, shadow: 10}"
    assert BLOCK.count(line) == 1
    assert edited(BLOCK.replace(line, before)) == BLOCK.replace(line, after)


def test_line_ends_and_byte_order_marks_stay() -> None:
    text = "\ufeff" + BLOCK_STYLE.replace("shadow:   10 # watched\n", "").replace("\n", "\r\n")
    result = edited(text)
    assert result.startswith("\ufeff# A good file.\r\n")
    assert result.replace("\r\n", "").count("\n") == 0
    assert "    live: 12.5  # soon more\r\n    shadow: 87\r\n" in result


def test_text_that_only_looks_like_widths_stays() -> None:
    text = BLOCK.replace("# A good file.", "# percent: {live: 1}  Zoë 🦊 x")
    assert edited(text) == text.replace("{complete: 0, live: 1, shadow: 10}",
                                        "{complete: 0, live: 12.5, shadow: 87}")  # fmt: skip


WIDTHS = st.integers(0, 33_333).map(lambda thousandths: Decimal(thousandths) / 1000)


@given(
    text=st.sampled_from([BLOCK, FLOW, BLOCK_STYLE, Path("config/rollout.yaml").read_text()]),
    percent=st.builds(Percentages, complete=WIDTHS, live=WIDTHS, shadow=WIDTHS),
)
def test_the_meaning_is_the_same_but_for_the_widths(text: str, percent: Percentages) -> None:
    result = edited(text, percent)
    assert parse_flags(result.encode(), "f") == replace(
        parse_flags(text.encode(), "f"), percent=percent
    )
    # And back again: nothing was lost on the way, comments least of all.
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in result.splitlines() if "#" in line] == comments


def test_a_bad_file_is_not_edited() -> None:
    with pytest.raises(InputError):
        edited(BLOCK.removesuffix("...\n"))
