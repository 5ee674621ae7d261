"""The returns of clients as one process of a fleet sees them: it concludes nothing, and tells what it has.

acted         the action waits until the fleet has concluded it (`shim/compare/fleet_outcomes.py`)
published     an action of any process became known here: its identity is watched until its window has passed
opening       of a watched identity: it is told, and so is its closing
closing       is remembered for a while, because actions become known later than they happen

Nothing here waits for anything, and what a connection costs does not depend on how many are watched. Other
work of the event loop waits for `AT_ONCE` actions and openings at most.

Rules: docs/design.md#r15, docs/design.md#r24.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from itertools import islice
from typing import NamedTuple, TypeAlias

from shim.compare.return_watcher import Opening, ReturnWatcher
from shim.model import Connection, Duration, Identity, Outcome, Return, Time

CAPACITY = 50_000
"""Closings that are remembered at most; about 20 MB."""

AT_ONCE = 500
"""Actions that are watched, and openings that are told, in one call: they take one or two milliseconds."""

_FORGOTTEN_AT_ONCE = 2_000


class PublishedAction(NamedTuple):
    """An action that became known to the fleet. Times are by the store's clock; `id` is the store's number."""

    id: int
    identity: Identity
    acted_at: Time
    last_activity: Time
    window_ends: Time


class ToldOpening(NamedTuple):
    """An opening as the fleet is told of it, by the store's clock; `closed_at` None: it is open."""

    connection: Connection
    opened_at: Time
    closed_at: Time | None


class Told(NamedTuple):
    """What a process has to tell about watched identities, and of which actions it cannot tell everything.

    `more`: there is more to tell at once; until then it has not told everything up to now.
    """

    openings: list[ToldOpening]
    unsure: list[int]
    more: bool


_Closing: TypeAlias = tuple[Connection, Time, Time]
"""A connection, when it was opened, and when it was closed. A plain tuple: each closing makes one."""


class FleetReturns(ReturnWatcher):
    """Knows the open connections and the last closings, and which identities the fleet asks about.

    `capacity`: closings that are remembered at most; what is forgotten too early makes the process unsure.
    """

    def __init__(
        self, return_window: Duration, patience: Duration = 0, *, capacity: int = CAPACITY
    ) -> None:
        super().__init__(return_window, patience)
        self._capacity = capacity
        self._waiting: dict[str, Outcome] = {}
        # Until when each identity is watched, by the store's clock.
        self._watched: dict[Identity, Time] = {}
        self._ends: list[tuple[Time, int, Identity]] = []
        self._closings: deque[_Closing] = deque()
        # The same ones by user: tens of thousands are too many to be looked through.
        self._closings_of: dict[str, list[_Closing]] = {}
        # Closings up to these times are forgotten: by the router's clock for want of room, by the store's
        # because every action up to then was known.
        self._overflowed_until: Time | None = None
        self._known_until: Time | None = None
        # What has to be told, by connection; and the connections that were told while they were open.
        self._news: dict[str, tuple[Connection, Time, Time | None]] = {}
        self._told_open: set[str] = set()

    @property
    def next_loss(self) -> Time | None:
        return None

    def opened(self, opening: Opening) -> Outcome | None:
        self.keep(opening)
        if self._watched and opening.connection.identity in self._watched:
            self._tell_of(opening)
        return None

    def closed(self, connection: Connection, now: Time) -> None:
        opening = self.drop(connection)
        if opening is None:
            return
        closing = connection, opening.opened_at, now
        self._closings.append(closing)
        self._closings_of.setdefault(connection.user, []).append(closing)
        if len(self._closings) > self._capacity:
            self._overflowed_until = self._forget_oldest()
        if connection.id in self._told_open:
            self._told_open.remove(connection.id)
            self._news[connection.id] = closing

    def wait(self, action: Outcome) -> Outcome | None:
        self._waiting[action.connection.id] = action
        return None

    def expire(self, now: Time) -> Iterator[Outcome]:
        return iter(())

    def finish(self, now: Time) -> Iterator[Outcome]:
        """What waits is concluded by the other processes, or by the next one."""
        return iter(())

    # -- With the fleet -----------------------------------------------------------------------------

    def tell(
        self,
        actions: Iterable[PublishedAction],
        to_store: Callable[[Time], Time],
        known_until: Time | None,
        now: Time,
    ) -> Told:
        """Watch these actions from now on; what has to be told of them and of those before, `AT_ONCE` openings
        at most.

        `to_store` makes the store's time of the router's. Up to `known_until` (the store's) every action is
        among these or was told before. `now` is by the store's clock.
        """
        new = list(actions)
        unsure = [action.id for action in new if self._is_forgotten(action, to_store)]
        for action in new:
            self._watch(action)
            for opening in self.openings(action.identity):
                if to_store(opening.opened_at) > action.last_activity:
                    self._tell_of(opening)
            for closing in self._closings_of.get(action.identity[0], ()):
                one, since, _ = closing
                if one.identity == action.identity and to_store(since) > action.last_activity:
                    self._news[one.id] = closing
        self._forget(to_store, known_until, now)
        news = [self._news.pop(name) for name in [*islice(self._news, AT_ONCE)]]
        openings = [
            ToldOpening(one, to_store(since), None if until is None else to_store(until))
            for one, since, until in news
        ]
        return Told(openings, unsure, bool(self._news))

    def concluded(
        self, connection_id: str, result: Return, delay: Duration | None
    ) -> Outcome | None:
        """What the fleet concluded about an action of this process; None: it was told before."""
        waiting = self._waiting.pop(connection_id, None)
        if waiting is None:
            return None
        at = waiting.acted_at
        if delay is not None:
            at += delay
        elif result is not Return.REPLACED:
            at = waiting.window_ends + 1
        return replace(waiting, result=result, at=at, delay=delay)

    def _watch(self, action: PublishedAction) -> None:
        until = self._watched.get(action.identity, action.window_ends)
        self._watched[action.identity] = max(until, action.window_ends)
        heappush(self._ends, (action.window_ends, action.id, action.identity))

    def _tell_of(self, opening: Opening) -> None:
        connection = opening.connection
        self._told_open.add(connection.id)
        self._news[connection.id] = connection, opening.opened_at, None

    def _is_forgotten(self, action: PublishedAction, to_store: Callable[[Time], Time]) -> bool:
        """Whether closings after the action may be forgotten already."""
        if self._known_until is not None and action.acted_at <= self._known_until:
            return True
        overflowed = self._overflowed_until
        return overflowed is not None and action.acted_at <= to_store(overflowed)

    def _forget(
        self, to_store: Callable[[Time], Time], known_until: Time | None, now: Time
    ) -> None:
        """Forget the windows that have passed, and the closings that nobody will ask for, some of them."""
        for _ in range(_FORGOTTEN_AT_ONCE):
            if not self._ends or self._ends[0][0] >= now:
                break
            identity = heappop(self._ends)[2]
            if self._watched.get(identity, now) < now:
                del self._watched[identity]
        if known_until is None:
            return
        closings = self._closings
        most = min(len(closings), _FORGOTTEN_AT_ONCE)
        for _ in range(
            bisect_right(closings, known_until, 0, most, key=lambda one: to_store(one[2]))
        ):
            self._forget_oldest()
        if self._known_until is None or known_until > self._known_until:
            self._known_until = known_until

    def _forget_oldest(self) -> Time:
        """Forget the oldest closing; when it was."""
        connection, _, closed_at = self._closings.popleft()
        own = self._closings_of[connection.user]
        own.pop(0)
        if not own:
            del self._closings_of[connection.user]
        return closed_at
