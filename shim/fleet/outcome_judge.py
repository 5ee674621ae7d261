"""Concludes the outcomes of the whole fleet, by one process at a time (R24).

Up to the earliest time up to which every process has told everything, nothing is missing. So it is concluded
up to that time, in the order of time, by the rules of `shim/compare/fleet_outcomes.py`.

Rules: docs/design.md#r24.
"""

import logging
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Any

from psycopg import Connection

from shim.compare.fleet_outcomes import Conclusion, conclude
from shim.fleet.fleet_link import FleetDuty
from shim.fleet.store_contact import StoreContact
from shim.ledger.postgres.conclusions import (
    Frontier,
    IdentityFacts,
    read_concluded_age,
    read_facts_due,
    read_frontier,
    trim_openings,
    write_conclusions,
)
from shim.ledger.postgres.lease import Lease
from shim.ledger.postgres.openings import EVERYTHING
from shim.ledger.postgres.process_list import read_clock
from shim.model import SECOND, Return

log = logging.getLogger(__name__)

_SETTLE = 6.0
_TRIM_EVERY = 60.0
_LOOK_EVERY = 2.0
"""Seconds, all three."""

_REST = 2.0


class OutcomeJudge(FleetDuty):
    """Concludes while this process has the lease.

    `holder` is this run, for the lease. `settle`: seconds after an absence of the store until every process
    has reached it again, also one that started meanwhile. `rest`: after a round nothing is concluded for so
    many times the length of the round; after a mass of actions there is much to look through, and the store
    has other things to do. `clock`: seconds, from any beginning.
    """

    def __init__(
        self,
        holder: str,
        *,
        settle: float = _SETTLE,
        rest: float = _REST,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._lease = Lease("returns", holder)
        self._contact = StoreContact(settle)
        self._rest = rest
        self._clock = clock
        self._next_round = self._next_trim = self._next_look = -inf
        self._concluded_at = clock()

    @property
    def concluded_age(self) -> float:
        """How long ago the time ends up to which the outcomes are concluded, whoever concludes them, in
        seconds; in a new store, how long nothing has been concluded."""
        return self._clock() - self._concluded_at

    def attend(self, connection: Connection[Any]) -> None:
        holds = self._lease.keep(connection)
        now = self._clock()
        self._contact.note(now)
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY
            age = read_concluded_age(connection)
            self._concluded_at = self._concluded_at if age is None else now - age / SECOND
        if holds and now >= self._next_round:
            self._conclude(connection)
            self._next_round = self._clock() + self._rest * (self._clock() - now)

    def leave(self, connection: Connection[Any]) -> None:
        self._lease.give_up(connection)

    def _conclude(self, connection: Connection[Any]) -> None:
        unsettled_since = self._contact.unsettled_since
        if unsettled_since == -inf:
            return
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            now = read_clock(connection)
            latest = EVERYTHING
            if unsettled_since is not None:
                latest = now - round((self._clock() - unsettled_since) * SECOND)
            gives_up = self._contact.tells_silence
            frontier = read_frontier(connection, now, latest=latest, gives_up=gives_up)
            if frontier is None:
                return
            due, all_of_them = read_facts_due(connection, frontier)
        ids = {key: id for facts in due for key, id in facts.ids.items()}
        found = [one for facts in due for one in _conclusions(facts, frontier)]
        with connection.transaction():
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '5s'")
            # Who was frozen meanwhile has no lease any more.
            if not self._lease.hold(connection):
                return
            until = frontier.known_until if all_of_them else None
            write_conclusions(connection, found, ids, until, frontier.conclusion)
        if self._clock() >= self._next_trim:
            self._next_trim = self._clock() + _TRIM_EVERY
            trim_openings(connection, frontier.known_until)


def _conclusions(facts: IdentityFacts, frontier: Frontier) -> Iterator[Conclusion]:
    for one in conclude(facts.actions, facts.openings, frontier.known_until, frontier.unknown):
        if one.result is Return.LOST and one.action.key in facts.unsure:
            yield one._replace(result=Return.CENSORED)
        else:
            yield one
