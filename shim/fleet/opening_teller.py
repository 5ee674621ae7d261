"""Tells the fleet of the clients that came back to this process, and this process what the fleet concluded.

In each round: what the store has of new actions goes to the event loop, which answers with the openings of
their identities; these go to the store, with the time up to which they are all. Then the conclusions about
this process's own actions become outcomes. While the store does not answer, all of that waits.

Rules: docs/design.md#r15, docs/design.md#r24.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from itertools import islice
from time import monotonic, sleep
from typing import Any, NamedTuple

from psycopg import Connection

from shim.compare.fleet_returns import AT_ONCE, FleetReturns, Told, ToldOpening
from shim.fleet.fleet_link import FleetDuty
from shim.ledger.postgres.openings import (
    EVERYTHING,
    Publication,
    StoredConclusion,
    read_actions,
    read_conclusions,
    read_run,
    remembers,
    tell_openings,
)
from shim.ledger.process_record import StoreStatus
from shim.ledger.rows import Wall
from shim.model import Duration, Outcome, Time

_ANSWER_TAKES = 1.0
_LONGEST_ROUND = 0.5
_LEAVING_TAKES = 1.5
_PAUSE = 0.1
"""Seconds, all four."""

_CONCLUSIONS_AT_ONCE = 50
"""The event loop has other things to do: observers take some ten microseconds for each."""


class _Question(NamedTuple):
    """What the event loop was asked: its answer, and up to when that is everything."""

    publication: Publication
    answer: "Future[tuple[Told, Wall]]"


class OpeningTeller(FleetDuty):
    """Tells what the returns of this process are, and issues its outcomes.

    Args:
        returns: what this process knows; to be used in the event loop.
        uuid: the run of this process.
        post: runs a function in the event loop, from any thread.
        clock: the router's clock.
        to_wall: the run's time of day, of the router's time.
        store: how shipping goes: by how much the store's clock is ahead of this run's time of day.
        tell: takes the outcomes, in the event loop.
    """

    def __init__(
        self,
        returns: FleetReturns,
        uuid: str,
        *,
        post: Callable[[Callable[[], None]], object],
        clock: Callable[[], Time],
        to_wall: Callable[[Time], Wall],
        store: Callable[[], StoreStatus | None],
        tell: Callable[[Outcome], object],
    ) -> None:
        self._returns = returns
        self._uuid = uuid
        self._post = post
        self._clock = clock
        self._to_wall = to_wall
        self._store = store
        self._tell = tell
        self._run: int | None = None
        self._seen_action = 0
        self._conclusion = 0
        self._question: _Question | None = None
        self._more = False
        self._connection: Connection[Any] | None = None
        # What is not in the store yet.
        self._openings: dict[str, ToldOpening] = {}
        self._unsure: set[int] = set()

    def attend(self, connection: Connection[Any]) -> None:
        give_up_at = monotonic() + _LONGEST_ROUND
        self._round(connection)
        while self._more and monotonic() < give_up_at:
            self._round(connection)

    def leave(self, connection: Connection[Any]) -> None:
        """Wait until the others' actions of the time before the end are known, and tell the rest."""
        end: Wall | None = None
        give_up_at = monotonic() + _LEAVING_TAKES
        while True:
            done = self._round(connection, end)
            if done is None or monotonic() > give_up_at:
                return
            end = end or done
            if not self._more:
                sleep(_PAUSE)

    def _round(self, connection: Connection[Any], end: Wall | None = None) -> Wall | None:
        """Tell what there is; up to when that was everything, None if that is not known or over.

        `end`: nothing has happened here since. Once all actions up to then are known, this was the last round.
        """
        self._more = False
        store = self._store()
        if connection is not self._connection:
            self._connection = connection
            self._meet(connection)
        if self._run is None:
            self._run = read_run(connection, self._uuid)
        if store is None or store.clock_offset is None or self._run is None:
            return None
        if self._question is None:
            publication = read_actions(connection, self._run, self._seen_action)
            if publication is None:
                return None
            self._question = self._ask(publication, store.clock_offset)
        publication, answer = self._question
        if not wait([answer], _ANSWER_TAKES).done:
            return None  # the event loop is busy; its answer is waited for in the next round
        self._question = None
        told, asked_at = answer.result()
        self._more = told.more or len(publication.actions) == AT_ONCE
        self._seen_action = publication.last
        self._openings.update((one.connection.id, one) for one in told.openings)
        self._unsure.update(told.unsure, publication.changed)
        known = publication.known_until
        is_last = end is not None and known is not None and known >= end and not told.more
        told_until = min(asked_at, publication.complete_until)
        tell_openings(
            connection,
            self._run,
            self._openings.values(),
            self._unsure,
            told_until=EVERYTHING if is_last else None if told.more else told_until,
            seen_action=EVERYTHING if is_last else None if told.more else self._seen_action,
        )
        self._openings.clear()
        self._unsure.clear()
        conclusions, self._conclusion = read_conclusions(connection, self._run, self._conclusion)
        if conclusions:
            self._post(partial(self._conclude, iter(conclusions)))
        return None if is_last else asked_at

    def _meet(self, connection: Connection[Any]) -> None:
        """Begin anew with a store that was restored from a backup: its numbers have gone back."""
        self._run = read_run(connection, self._uuid)
        if not remembers(connection, self._seen_action, self._conclusion):
            self._seen_action = self._conclusion = 0
            self._question = None

    def _ask(self, publication: Publication, offset: Duration) -> _Question:
        answer: Future[tuple[Told, Wall]] = Future()

        def to_store(time: Time) -> Wall:
            return self._to_wall(time) + offset

        def reply() -> None:
            now = to_store(self._clock())
            try:
                told = self._returns.tell(
                    publication.actions, to_store, publication.known_until, now
                )
            except BaseException as error:
                answer.set_exception(error)
                raise
            answer.set_result((told, now))

        self._post(reply)
        return _Question(publication, answer)

    def _conclude(self, conclusions: Iterator[StoredConclusion]) -> None:
        """Tell some of these outcomes, and leave the rest to the next turn of the event loop."""
        some = [*islice(conclusions, _CONCLUSIONS_AT_ONCE)]
        if some:
            self._post(partial(self._conclude, conclusions))
        for one in some:
            outcome = self._returns.concluded(one.connection, one.result, one.delay)
            if outcome is not None:
                self._tell(outcome)
