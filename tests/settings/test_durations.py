"""Durations as they are written in files, and as whole microseconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.settings.durations import format_duration, parse_duration

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("250ms", SECOND // 4),
        ("15s", 15 * SECOND),
        ("2m", 120 * SECOND),
        ("1h", 3600 * SECOND),
        ("7d", 7 * 86_400 * SECOND),
        ("0.75s", 750_000),
        ("0.000001s", 1),
        ("0s", 0),
    ],
)
def test_what_is_written(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "15", "s", "15 s", "1.s", ".5s", "+1s", "1e3s", "15S", "1s\n", "١s", "1w", "-1s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


@pytest.mark.parametrize("value", [15, 1.5, None, True, ["15s"]])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(value)


def test_less_than_a_microsecond() -> None:
    with pytest.raises(ValueError, match="microsecond"):
        parse_duration("0.0000005s")


@pytest.mark.parametrize("text", ["365000.1d", "999999999999d", "-365001d", "8760001h"])
def test_more_than_a_thousand_years(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text} is longer than 365000d"):
        parse_duration(text, negative=True)
    assert parse_duration("365000d") == 365_000 * 86_400 * SECOND


def test_a_minus_where_a_field_allows_it() -> None:
    assert parse_duration("-5s", negative=True) == -5 * SECOND
    with pytest.raises(ValueError, match="negative"):
        parse_duration("-5s")


@given(st.integers(-(10**15), 10**15))
def test_what_is_formatted_reads_the_same(duration: int) -> None:
    assert parse_duration(format_duration(duration), negative=True) == duration


def test_the_largest_whole_unit() -> None:
    assert format_duration(90 * SECOND) == "90s"
    assert format_duration(120 * SECOND) == "2m"
    assert format_duration(1500) == "1.5ms"
