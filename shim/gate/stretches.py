"""Which stretches of days are judged alone: each UTC day, and the last seven days of each (R16, R22).

Rules: docs/design.md#r16, docs/design.md#r22.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shim.model import Time
from shim.model.time import DAY, utc_day

WEEK = 7
"""Days."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some UTC days, by their numbers since 1970; `ordinal` is the stretch's place in the trial, from 1."""

    days: tuple[int, ...]
    ordinal: int

    @property
    def name(self) -> str:
        first, last = (str(utc_day(day * DAY)) for day in (self.days[0], self.days[-1]))
        return first if first == last else f"{first} to {last}"


def find_stretches(since: Time, now: Time) -> Iterator[Stretch]:
    """The stretches of a trial up to `now`, in the order in which they end.

    A day is one; from the seventh day on the seven days up to it are another one. Those of the present
    day are not over yet.
    """
    first, last = since // DAY, now // DAY
    ordinal = 0
    for day in range(first, last + 1):
        ordinal += 1
        yield Stretch((day,), ordinal)
        if day - first + 1 >= WEEK:
            ordinal += 1
            yield Stretch(tuple(range(day - WEEK + 1, day + 1)), ordinal)


def recent_days(now: Time) -> tuple[int, ...]:
    """The seven UTC days that end with the present one."""
    today = now // DAY
    return tuple(range(today - WEEK + 1, today + 1))
