"""Draws the rows of a fleet from its stated truths. It shares nothing with `shim.simulate`."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks.fleet_truths import Fleet, Outage
from shim.gate import Arm, ObservedRow
from shim.model import SECOND, Role, Time

DAY = 86_400 * SECOND
BEGIN = 20_003 * DAY
"""A Monday, 00:00 UTC."""

RETURN_WINDOW = 135 * SECOND


class FleetRows(NamedTuple):
    agreements: list[ObservedRow]
    returns: list[ObservedRow]
    proofs: list[ObservedRow]

    def before(self, at: Time) -> "FleetRows":
        return FleetRows(*([row for row in rows if row.at <= at] for rows in self))

    def after(self, at: Time) -> "FleetRows":
        return FleetRows(*([row for row in rows if row.at > at] for rows in self))


class RowGenerator:
    """Draws the rows of one fleet, day by day."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet = fleet
        self._random = np.random.default_rng(seed)
        self._groups = list(fleet.groups.items())
        shares = [group.share for _, group in self._groups]
        self._group = self._random.choice(len(shares), fleet.users, p=shares)
        self._bucket = self._random.random(fleet.users)
        self._lost = self._random.random(fleet.users) < fleet.lost
        self._closed_before: set[int] = set()

    def rows(self, day: int) -> FleetRows:
        """The rows of a day, those of returns and proofs by the ends of their windows."""
        found = FleetRows([], [], [])
        begin = BEGIN + day * DAY
        for user, offset, outage in sorted(self._timeouts(day), key=lambda timeout: timeout[1]):
            self._draw(found, day, user, begin + offset, outage)
        for rows in found:
            rows.sort(key=lambda row: row.at)
        return found

    def _timeouts(self, day: int) -> Iterator[tuple[int, int, Outage | None]]:
        fleet, random = self.fleet, self._random
        counts = random.poisson(fleet.per_day, fleet.users)
        users = np.repeat(np.arange(fleet.users), counts)
        # No window reaches into the next day, where another trial may have begun.
        offsets = random.integers(0, DAY - 2 * RETURN_WINDOW, len(users))
        yield from ((int(user), int(at), None) for user, at in zip(users, offsets, strict=True))
        for outage in fleet.outages:
            if outage.day != day:
                continue
            start = int(random.integers(DAY // 2, DAY - 3 * RETURN_WINDOW))
            for user in np.flatnonzero(random.random(fleet.users) < outage.users):
                yield int(user), start + int(random.integers(0, 20 * SECOND)), outage

    def _draw(self, found: FleetRows, day: int, user: int, at: Time, outage: Outage | None) -> None:
        fleet, random = self.fleet, self._random
        name, group = self._groups[self._group[user]]
        acting = Role.CANDIDATE if self._bucket[user] < group.live(day) else Role.CONTROL
        if acting is Role.CANDIDATE and self._lost[user]:
            return
        arm, text = Arm(name, acting), f"u{user}"
        if acting is Role.CONTROL:
            agreement = fleet.agreement(day)
            if outage is not None and outage.agreement is not None:
                agreement = outage.agreement
            found.agreements.append(ObservedRow(text, at, random.random() < agreement, arm, 1))
        returned = (group.control if acting is Role.CONTROL else group.candidate)(day)
        if acting is Role.CANDIDATE and fleet.later is not None and user in self._closed_before:
            returned = fleet.later
        if acting is Role.CANDIDATE:
            self._closed_before.add(user)
        if outage is not None:
            returned *= outage.returns
        ends = at + RETURN_WINDOW
        found.returns.append(ObservedRow(text, ends, random.random() < returned, arm, 1))
        proof = acting is Role.CANDIDATE and random.random() < fleet.proofs
        found.proofs.append(ObservedRow(text, ends, proof, arm, 1))
