"""Draws the rows of a fleet from its stated truths. It shares nothing with `shim.simulate`."""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet_truths import Fleet
from shim.gate.observed_rows import Arm, ObservedRow
from shim.model import SECOND, Role, Time

DAY = 86_400 * SECOND
BEGIN = 20_003 * DAY
"""A Monday, 00:00 UTC."""

RETURN_WINDOW = 135 * SECOND

Numbers: TypeAlias = NDArray[np.int64]
Shares: TypeAlias = NDArray[np.float64]
Marks: TypeAlias = NDArray[np.bool_]


class FleetRows(NamedTuple):
    agreements: list[ObservedRow]
    returns: list[ObservedRow]
    proofs: list[ObservedRow]

    def before(self, at: Time) -> "FleetRows":
        return FleetRows(*([row for row in rows if row.at <= at] for rows in self))

    def after(self, at: Time) -> "FleetRows":
        return FleetRows(*([row for row in rows if row.at > at] for rows in self))


class _Timeouts(NamedTuple):
    """The timeouts of a day in the order of their times; of outages where `outage` is not -1."""

    users: Numbers
    offsets: Numbers
    outages: Numbers


class RowGenerator:
    """Draws the rows of one fleet, day by day."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet = fleet
        self._random = random = np.random.default_rng(seed)
        self._groups = list(fleet.groups.items())
        shares = [group.share for _, group in self._groups]
        self._group = random.choice(len(shares), fleet.users, p=shares)
        self._bucket = random.random(fleet.users)
        self._lost = random.random(fleet.users) < fleet.lost
        self._rare = random.random(fleet.users) < fleet.rare.users
        self._closed_before = np.zeros(fleet.users, dtype=bool)
        self._names = [f"u{user}" for user in range(fleet.users)]

    def rows(self, day: int) -> FleetRows:
        """The rows of a day, those of returns and proofs by the ends of their windows."""
        timeouts = self._timeouts(day)
        by_candidate = self._bucket[timeouts.users] < self._of_groups(day, "live", timeouts)
        seen = ~(by_candidate & self._lost[timeouts.users])
        timeouts, by_candidate = _Timeouts(*(part[seen] for part in timeouts)), by_candidate[seen]
        begin = BEGIN + day * DAY
        shadowing = ~by_candidate
        agreed = self._draw(self._agreement(day, timeouts))
        returned = self._draw(self._returned(day, timeouts, by_candidate))
        proved = by_candidate & self._draw(np.full(len(by_candidate), self.fleet.proofs))
        return FleetRows(
            self._observed(timeouts, begin, agreed, by_candidate, shadowing),
            self._observed(timeouts, begin + RETURN_WINDOW, returned, by_candidate),
            self._observed(timeouts, begin + RETURN_WINDOW, proved, by_candidate),
        )

    def _timeouts(self, day: int) -> _Timeouts:
        fleet, random = self.fleet, self._random
        per_day = np.where(self._rare, fleet.rare.per_day, fleet.per_day)
        users = [np.repeat(np.arange(fleet.users), random.poisson(per_day))]
        # No window reaches into the next day, where another trial may have begun.
        offsets = [random.integers(0, DAY - 2 * RETURN_WINDOW, len(users[0]))]
        outages = [np.full(len(users[0]), -1)]
        for number, outage in enumerate(fleet.outages):
            if outage.day != day:
                continue
            start = random.integers(DAY // 2, DAY - 3 * RETURN_WINDOW)
            users.append(np.flatnonzero(random.random(fleet.users) < outage.users))
            offsets.append(start + random.integers(0, 20 * SECOND, len(users[-1])))
            outages.append(np.full(len(users[-1]), number))
        at = np.concatenate(offsets)
        order = np.argsort(at, kind="stable")
        return _Timeouts(np.concatenate(users)[order], at[order], np.concatenate(outages)[order])

    def _of_groups(self, day: int, name: str, timeouts: _Timeouts) -> Shares:
        """What is true of each timeout's group on this day."""
        values = np.array([getattr(group, name)(day) for _, group in self._groups])
        return values[self._group[timeouts.users]]

    def _agreement(self, day: int, timeouts: _Timeouts) -> Shares:
        fleet = self.fleet
        share = fleet.agreement(day)
        if fleet.bad_days.share and self._random.random() < fleet.bad_days.share:
            share = fleet.bad_days.agreement
        shares = np.where(self._rare[timeouts.users], fleet.rare.agreement, share)
        for number, outage in enumerate(fleet.outages):
            if outage.agreement is not None:
                shares[timeouts.outages == number] = outage.agreement
        return shares

    def _returned(self, day: int, timeouts: _Timeouts, by_candidate: Marks) -> Shares:
        shares = np.where(
            by_candidate,
            self._of_groups(day, "candidate", timeouts),
            self._of_groups(day, "control", timeouts),
        )
        if self.fleet.later is not None:
            closed = np.flatnonzero(by_candidate)
            users, firsts = np.unique(timeouts.users[closed], return_index=True)
            later = np.ones(len(closed), dtype=bool)
            later[firsts] = self._closed_before[users]
            shares[closed[later]] = self.fleet.later
            self._closed_before[users] = True
        for number, outage in enumerate(self.fleet.outages):
            shares[timeouts.outages == number] *= outage.returns
        return shares

    def _draw(self, shares: Shares) -> Marks:
        return self._random.random(len(shares)) < shares

    def _observed(
        self,
        timeouts: _Timeouts,
        begin: Time,
        success: Marks,
        by_candidate: Marks,
        wanted: Marks | None = None,
    ) -> list[ObservedRow]:
        names = self._names
        arms = [[Arm(name, Role.CONTROL), Arm(name, Role.CANDIDATE)] for name, _ in self._groups]
        chosen = slice(None) if wanted is None else wanted
        return [
            ObservedRow(names[user], begin + offset, won, arms[group][candidate], 1)
            for user, offset, won, group, candidate in zip(
                timeouts.users[chosen].tolist(),
                timeouts.offsets[chosen].tolist(),
                success[chosen].tolist(),
                self._group[timeouts.users[chosen]].tolist(),
                by_candidate[chosen].tolist(),
                strict=True,
            )
        ]
