"""The series of proofs of life: those of one event of the guard count as one (R6b).

Rules: docs/design.md#r6b, docs/design.md#r14b, docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from shim.gate.day_rows import SUCCESSES, count_shares
from shim.gate.observed_rows import NO_EVENT, ObservedRows
from shim.gate.series import Series
from shim.gate.statistics import Share
from shim.gate.user_numbers import NEVER, Integers, Truths, UserValues
from shim.model import Duration, Time
from shim.model.time import DAY


class ProofSeries(Series):
    """Takes timeouts acted on; success: a proof of life came.

    The first row of an event of the guard that belongs to an observation is that event's proof. The other
    users of the event are no observations, unless another closing gave a proof of life, too. A crowd is one
    event already, with the share of all its rows.
    """

    def __init__(self, since: Time, period: Duration, unit: Duration) -> None:
        super().__init__(since, period, unit)
        self._events: set[tuple[int, int]] = set()
        # When each user first had a row of an event that had been counted.
        self._repeated = UserValues(NEVER)

    def extend(self, rows: ObservedRows) -> None:
        begin = 0
        while (place := self._next_proof(rows, begin)) is not None:
            self._extend(rows.part(begin, place))
            proof = rows.part(place, place + 1)
            # The rows before may have closed the observation.
            if self._are_observed(proof)[0]:
                self._events.update(_events(proof))
            super().extend(proof)
            begin = place + 1
        self._extend(rows.part(begin))

    def _next_proof(self, rows: ObservedRows, begin: int) -> int | None:
        """The next place at which an event may have its proof, as far as the rows before `begin` tell."""
        places = begin + np.flatnonzero(rows.guard_events[begin:] != NO_EVENT)
        having = rows.where(places)
        may_prove = np.flatnonzero(self._are_observed(having) & ~self._are_counted(having))
        return int(places[may_prove[0]]) if len(may_prove) else None

    def _extend(self, rows: ObservedRows) -> None:
        """Rows among which no event has its proof."""
        repeated = self._are_counted(rows)
        if repeated.any():
            again = rows.where(repeated)
            # The first one counts: the last one written.
            users, times = again.users[::-1], again.times[::-1]
            self._repeated[users] = np.minimum(self._repeated[users], times)
            rows = rows.where(~repeated)
        super().extend(rows)

    def _are_counted(self, rows: ObservedRows) -> Truths:
        """Which rows are of an event that has its proof."""
        counted = np.zeros(len(rows), np.bool_)
        if self._events:
            places = np.flatnonzero(rows.guard_events != NO_EVENT)
            counted[places] = [event in self._events for event in _events(rows.where(places))]
        return counted

    def _conclude(self, users: Integers, successes: Integers, numbers: Integers, ends: Any) -> None:
        counted = (successes > 0) | (self._repeated[users] >= ends)
        super()._conclude(users[counted], successes[counted], numbers[counted], ends)

    def stretch(self, days: Sequence[int]) -> Counter[Share]:
        shares = super().stretch(days)
        users = np.flatnonzero(self._repeated.values != NEVER)
        users = users[np.isin(self._repeated[users] // DAY, days)]
        codes = self._window(days, "first")[users]
        left_out = codes[SUCCESSES[codes] == 0]
        shares.subtract(count_shares(np.bincount(left_out)))
        return +shares


def _events(rows: ObservedRows) -> list[tuple[int, int]]:
    return [*zip(rows.runs.tolist(), rows.guard_events.tolist(), strict=True)]
