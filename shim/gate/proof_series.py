"""The series of proofs of life: those of one event of the guard count as one (R6b).

Rules: docs/design.md#r6b, docs/design.md#r14b, docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Sequence

from shim.gate.day_rows import Share, pick, share_of
from shim.gate.observed_rows import ObservedRows
from shim.gate.series import DAY, Series
from shim.model import Duration, Time


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
        self._repeated: dict[int, Time] = {}

    def copy(self) -> "ProofSeries":
        other = super().copy()
        assert isinstance(other, ProofSeries)
        other._events = self._events.copy()
        other._repeated = self._repeated.copy()
        return other

    def extend(self, rows: ObservedRows[int]) -> None:
        begin = 0
        for place, number in enumerate(rows.guard_events):
            if number is None:
                continue
            super().extend(rows.part(begin, place))
            begin = place
            event, user, at = (
                (rows.runs[place], number),
                rows.users[place],
                rows.times[place],
            )
            if event in self._events:
                self._repeated.setdefault(user, at)
                begin += 1
            elif self._is_observed(user, at):
                self._events.add(event)
        super().extend(rows.part(begin))

    def _conclude(self, user: int, share: Share, ends: Time) -> None:
        proofs, _ = share
        if proofs or self._repeated.get(user, ends) >= ends:
            super()._conclude(user, share, ends)

    def stretch(self, days: Sequence[int]) -> Counter[Share]:
        shares = super().stretch(days)
        known = [self._days[day] for day in days if day in self._days]
        for user, at in self._repeated.items():
            share = share_of(pick(b"".join([day.of(user) for day in known]), "first"))
            if at // DAY in days and share[1] and not share[0]:
                shares[share] -= 1
        return +shares
