"""A question of the gate: its rows, counted plainly and with crowds as single events (R16: docs/design.md#r16).

What must be shown must be shown in both ways of counting; what is refuted is refuted in both. With
plain rows alone one outage would speak as often as it had users; with crowds alone a monitor that is
wrong about many users at once would be wrong only once.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from shim.gate.crowds import Connected, Crowd, CrowdFinder
from shim.gate.observed_rows import Arm, ObservedRow, ObservedRows
from shim.gate.series import Series
from shim.gate.statistics import Counted, Shares
from shim.gate.stretches import WEEK
from shim.gate.user_numbers import UserNumbers
from shim.model import Duration, Time
from shim.model.time import DAY

K = TypeVar("K", bound=Hashable)


class _Both:
    """One series in both ways; they are one object until the first crowd."""

    def __init__(self, series: Series) -> None:
        self.plain = series
        self.crowded = series

    @property
    def distinct(self) -> tuple[Series, ...]:
        return (self.plain,) if self.plain is self.crowded else (self.plain, self.crowded)

    def split(self) -> None:
        if self.plain is self.crowded:
            self.crowded = self.plain.copy()

    def read(self, read: Callable[[Series], Shares]) -> Counted:
        plain = read(self.plain)
        return Counted(plain, plain if self.plain is self.crowded else read(self.crowded))


@dataclass(frozen=True, slots=True)
class QuestionTimes:
    """What a question's observations depend on, in microseconds; `since` is the trial's begin."""

    since: Time
    period: Duration
    unit: Duration
    grain: Duration


class Question(Generic[K]):
    """Takes the rows of one trial and one kind of connection in the order of their times.

    `series_of` gives the series that an arm's rows belong to, None for rows that only make crowds. `users`:
    the numbers of users, if other questions share them.
    """

    def __init__(
        self,
        times: QuestionTimes,
        connected: Connected,
        series_of: Callable[[Arm], K | None],
        make_series: Callable[[Time, Duration, Duration], Series] = Series,
        users: UserNumbers | None = None,
    ) -> None:
        self._times = times
        self._finder = CrowdFinder(times.grain, connected)
        self._users = UserNumbers() if users is None else users
        self._series_of = series_of
        self._make_series = make_series
        self._series: dict[K, _Both] = {}
        self.crowds = 0

    def extend(self, rows: Iterable[ObservedRow] | ObservedRows) -> None:
        """`at` never decreases, from call to call neither."""
        self.extend_numbered(ObservedRows.of(rows).numbered(self._users))

    def extend_numbered(self, rows: ObservedRows) -> None:
        """The same of rows with the numbers of their users."""
        self._finder.extend(rows)

    def advance(self, now: Time) -> None:
        """All rows up to `now` are here; those of the last two `grain` wait (`CrowdFinder`)."""
        rows, calm, crowds = self._finder.decide(now)
        for crowd in crowds:
            self._take_crowd(crowd)
        if len(rows):
            self._take(rows, calm)
        for both in self._series.values():
            for series in both.distinct:
                series.settle(now - 2 * self._times.grain)

    def _take(self, rows: ObservedRows, calm: ObservedRows) -> None:
        for key, own in rows.split(self._series_of).items():
            self._of(key).plain.extend(own)
        if any(len(both.distinct) > 1 for both in self._series.values()):
            for key, own in calm.split(self._series_of).items():
                both = self._of(key)
                if both.crowded is not both.plain:
                    both.crowded.extend(own)

    def _take_crowd(self, crowd: Crowd) -> None:
        self.crowds += 1
        for arm, rows in crowd.by_arm().items():
            key = self._series_of(arm)
            if key is not None:
                both = self._of(key)
                both.split()
                both.crowded.add_crowd(crowd.at, rows)

    def _of(self, key: K) -> _Both:
        both = self._series.get(key)
        if both is None:
            both = self._series[key] = _Both(self._new_series())
        return both

    def _new_series(self) -> Series:
        return self._make_series(self._times.since, self._times.period, self._times.unit)

    @property
    def keys(self) -> tuple[K, ...]:
        """The series that have rows."""
        return tuple(self._series)

    def plain(self, key: K) -> Series:
        """The series, counted plainly; an empty one if it has no rows."""
        both = self._series.get(key)
        return self._new_series() if both is None else both.plain

    def read(self, key: K, read: Callable[[Series], Shares]) -> Counted:
        """What a series says, in both ways of counting."""
        both = self._series.get(key)
        return Counted({}, {}) if both is None else both.read(read)

    def forget(self, now: Time) -> None:
        """Only the days of the first period that goes on, and the last seven, will be asked for."""
        times = self._times
        day = (now - 2 * times.grain) // DAY
        first = times.since // DAY if now < times.since + times.period else day - WEEK
        for both in self._series.values():
            for series in both.distinct:
                series.forget(day, first)
