"""A sort of client: its answers, its messages, its troubles, and whether it comes back.

Everything is drawn from the key of one client, and does not depend on what the server does.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import IntEnum
from itertools import accumulate
from typing import Final, NamedTuple

from shim.model import SECOND, Duration, Kind, Time
from shim.model.time import DAY
from shim.simulate import draws
from shim.simulate.behaviour import ClientSettings, Durations, TroubleSettings
from shim.simulate.draws import Stream

NEVER: Final[Time] = 1 << 60

_MOST_RESENT, _MOST_RESENT_LOSSY = 4, 10
_RESEND_AFTER: Duration = SECOND // 5
"""The first retransmission; each further one waits twice as long (RFC 6298)."""

_DRAWS_OF_TROUBLE = 4
"""One trouble takes up to so many draws."""

# Each ping needs them, and a member is found in its enumeration in 70 ns on Python 3.11.
_ROUND_TRIP, _RESENT, _MESSAGE = Stream.ROUND_TRIP, Stream.RESENT, Stream.MESSAGE


class TroubleKind(IntEnum):
    """The troubles of a client, in the order of its settings."""

    FREEZE = 0
    """It neither reads nor sends."""
    DROP = 1
    """Its network is gone; it comes back on another connection."""
    LEAVE = 2
    """It closes, and opens another connection later."""
    LOSSY = 3
    """Many of its packets are lost."""


class Trouble(NamedTuple):
    """A stretch of time in which something is wrong with a client."""

    start: Time
    end: Time
    kind: TroubleKind


NO_TROUBLE = Trouble(NEVER, NEVER, TroubleKind.LEAVE)


class ClientSort:
    """One sort of client, ready to be drawn from; `key` is that of one client."""

    def __init__(self, name: str, settings: ClientSettings) -> None:
        self.name = name
        self.kind = settings.kind
        self.settings = settings
        self.message_every = settings.message_every
        self._loss = settings.loss
        self._round_trip = settings.round_trip
        sorts = (settings.freezes, settings.drops, settings.leaves, settings.lossy)
        self._sorts: list[TroubleSettings | None] = list(sorts)
        self._rates = list(accumulate(0.0 if sort is None else sort.per_day for sort in sorts))
        self._spell_loss = 0.0 if settings.lossy is None else settings.lossy.loss
        # What no answer exceeds while nothing is wrong, and in a lossy spell.
        longest = settings.round_trip.max
        self.longest_round_trip = longest + (_resent(_MOST_RESENT) if self._loss else 0)
        self.longest_when_lossy = longest + _resent(_MOST_RESENT_LOSSY)

    def package(self, number: int) -> str | None:
        """The package of a user's app of this sort; None: glasses have none."""
        if self.kind is Kind.GLASSES:
            return None
        return f"com.example.{self.name}" + (f".{number}" if number else "")

    def round_trip(self, key: int, at: Time, lossy: bool) -> Duration:
        """The time from a packet at `at` to its answer; `lossy`: while many packets are lost."""
        settings = self._round_trip
        usual = round(settings.median * draws.lognormal(key ^ _ROUND_TRIP, at, settings.sigma))
        loss = self._spell_loss if lossy else self._loss
        resent = 0
        if loss:
            chance = draws.uniform(key ^ _RESENT, at)
            most = _MOST_RESENT_LOSSY if lossy else _MOST_RESENT
            while resent < most and chance < loss ** (resent + 1):
                resent += 1
        return min(usual, settings.max) + _resent(resent)

    def message_after(self, key: int, at: Time) -> Time:
        """When the client sends its first message after `at`: one in each interval."""
        every = self.message_every
        assert every is not None
        number = at // every
        while True:
            sent = number * every + int(draws.uniform(key ^ _MESSAGE, number) * every)
            if sent > at:
                return sent
            number += 1

    def returns_after(self, key: int, code: int, at: Time) -> Duration:
        """The time from a close to the return, by itself or because the user starts the client again."""
        for entry in self.settings.reconnect:
            if entry.after is None or code in entry.after:
                chance = draws.key(key ^ Stream.RECONNECT, at)
                if draws.uniform(chance, 0) < entry.probability:
                    return entry.delay + int(draws.uniform(chance, 1) * entry.jitter)
                break
        return _drawn(self.settings.away, draws.key(key ^ Stream.AWAY, at), 0)

    def trouble_after(
        self, key: int, number: int, before: Trouble | None, frailty: float
    ) -> Trouble:
        """The client's trouble after `before` (None: its first), which is number `number` of its troubles.

        `frailty` is the factor of the user's rates of trouble.
        """
        key, number = key ^ Stream.TROUBLES, number * _DRAWS_OF_TROUBLE
        if before is not None and before.start < NEVER:
            sort = self._sorts[before.kind]
            assert sort is not None
            again = sort.again
            if again is not None and draws.uniform(key, number) < again.probability:
                return self._trouble(key, number, before.end + again.after, before.kind)
        total = self._rates[-1] * frailty
        if not total:
            return NO_TROUBLE
        since = 0 if before is None else before.start
        start = since + round(draws.exponential(key, number + 1, DAY / total)) + 1
        chosen = draws.uniform(key, number + 2) * self._rates[-1]
        return self._trouble(key, number, start, TroubleKind(bisect_right(self._rates, chosen)))

    def _trouble(self, key: int, number: int, start: Time, kind: TroubleKind) -> Trouble:
        sort = self._sorts[kind]
        assert sort is not None
        return Trouble(start, start + _drawn(sort.duration, key, number + 3), kind)


def _drawn(durations: Durations, key: int, number: int) -> Duration:
    """One of these durations, longer than 0."""
    if durations.shares:
        return max(1, _from_table(durations.shares, draws.uniform(key, number)))
    assert durations.median is not None
    duration = durations.median * draws.lognormal(key, number, durations.sigma)
    return max(1, min(round(duration), durations.max))


def _from_table(table: Sequence[tuple[Duration, float]], chance: float) -> Duration:
    for duration, share in table:
        if chance < share:
            return duration
        chance -= share
    return table[-1][0]


def _resent(times: int) -> Duration:
    return _RESEND_AFTER * ((1 << times) - 1)
