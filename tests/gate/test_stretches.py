"""R16: which days are judged alone, and together."""

from shim.gate.stretches import Stretch, find_stretches, recent_days
from shim.model.time import DAY

SINCE = 20_000 * DAY + DAY // 3  # 2024-10-04, at 8 o'clock
FIRST = 20_000


def test_each_day_is_a_stretch_and_from_the_seventh_on_the_last_seven_are() -> None:
    found = list(find_stretches(SINCE, (FIRST + 7) * DAY))
    days = [(FIRST + number,) for number in range(8)]
    first_week = tuple(range(FIRST, FIRST + 7))
    assert [stretch.days for stretch in found] == [
        *days[:7],
        first_week,
        days[7],
        tuple(range(FIRST + 1, FIRST + 8)),
    ]
    assert [stretch.ordinal for stretch in found] == list(range(1, 11))


def test_the_present_day_is_a_stretch_from_its_first_moment_on() -> None:
    assert [stretch.days for stretch in find_stretches(SINCE, SINCE)] == [(FIRST,)]
    assert len(list(find_stretches(SINCE, (FIRST + 1) * DAY - 1))) == 1
    assert len(list(find_stretches(SINCE, (FIRST + 1) * DAY))) == 2


def test_the_recent_days_are_seven_and_end_with_the_present_one() -> None:
    assert recent_days(SINCE) == tuple(range(FIRST - 6, FIRST + 1))
    assert recent_days((FIRST + 1) * DAY - 1) == recent_days(SINCE)


def test_a_stretch_is_called_by_its_first_and_its_last_day() -> None:
    assert Stretch((FIRST,), 1).name == "2024-10-04"
    assert Stretch((FIRST, FIRST + 1, FIRST + 2), 1).name == "2024-10-04 to 2024-10-06"
