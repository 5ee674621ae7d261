"""Compares the delays of returns in the store with those that the clients wrote down (R15, R24).

A client's own delay is exact as long as its process ran. Where that stood still the client saw the action, or
its acknowledgement, late: the true delay lies between two values, and only what lies outside of them is wrong.

Rules: docs/design.md#r15, docs/design.md#r24.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from tests.fleet.returns_oracle import Moment, Pairs
from tests.fleet.standstill import Standstills

_WITHIN = 0.2
"""Seconds by which a delay in the store may be wrong."""

_MOST_UNCERTAIN = 0.2
"""Seconds: a true delay that is less exact is not measurable."""

_MOST_UNMEASURABLE = 0.01
"""The share of the delays that may be so."""


class Delay(NamedTuple):
    """The delay of a return as the store has it, in seconds, and between which values it truly lies."""

    user: str
    stored: float
    truth: Moment

    @property
    def uncertainty(self) -> float:
        return self.truth.latest - self.truth.earliest

    @property
    def is_measurable(self) -> bool:
        return self.uncertainty <= _MOST_UNCERTAIN

    @property
    def deviation(self) -> float:
        return max(self.truth.earliest - self.stored, self.stored - self.truth.latest, 0.0)


def read_delays(user: str, pairs: Pairs, standstills: Sequence[Standstills]) -> list[Delay]:
    """The delays of a user's returns; `standstills` of each process on the way from the fleet to the notes of
    the clients, the clients' own first."""
    delays = []
    for (action, _, opening), row in pairs:
        if opening is not None and row.delay is not None:
            seen = _read_moment(action.seen_at, standstills)
            acknowledged = _read_moment(opening.opened.latest, standstills)
            truth = Moment(
                max(acknowledged.earliest, opening.opened.earliest) - seen.latest,
                acknowledged.latest - max(seen.earliest, action.acted.earliest),
            )
            delays.append(Delay(user, row.delay, truth))
    return delays


def _read_moment(noted_at: float, standstills: Sequence[Standstills]) -> Moment:
    earliest = noted_at
    for process in standstills:
        earliest = process.earliest(earliest)
    return Moment(earliest, noted_at)


def largest_deviation(delays: Iterable[Delay]) -> float:
    """In seconds."""
    return max((one.deviation for one in delays), default=0.0)


@dataclass
class DelayReport:
    """What came out about these delays."""

    delays: list[Delay] = field(default_factory=list)

    def differences(self) -> list[str]:
        """In words; empty if each delay that is measurable is right, and nearly all are measurable."""
        found = [
            f"{one.user}: came back after {one.stored:.3f} s, says the store, and the client says "
            f"{one.truth.earliest:.3f} to {one.truth.latest:.3f} s"
            for one in self.delays
            if one.is_measurable and one.deviation > _WITHIN
        ]
        if self._unmeasurable > len(self.delays) * _MOST_UNMEASURABLE:
            found.append(f"{self._unmeasurable} of {len(self.delays)} delays are not measurable")
        return found

    def figures(self) -> dict[str, str]:
        """Names and values, for people."""
        if not self.delays:
            return {}
        deviations = [one.deviation for one in self.delays if one.is_measurable]
        uncertain = [one.uncertainty for one in self.delays if one.uncertainty]
        return {
            "delay against the client's, median": _format_milliseconds(median(deviations or [0.0])),
            "delay against the client's, most": _format_milliseconds(max(deviations, default=0.0)),
            "delays that a standstill of the clients makes uncertain": f"{len(uncertain):,} of "
            f"{len(self.delays):,}, by at most {_format_milliseconds(max(uncertain, default=0.0))}",
            "of these not measurable": f"{self._unmeasurable:,} "
            f"({_MOST_UNMEASURABLE:.0%} of all delays may be)",
            "delays that differ": f"{len(self.differences())}",
        }

    @property
    def _unmeasurable(self) -> int:
        return sum(not one.is_measurable for one in self.delays)


def _format_milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
