"""By how much the store's clock is ahead of this process's, as exactly as asking allows (R23, R24).

A client that is closed by one process may be back at another one after two milliseconds, and has to have come
back after it was closed. Each answer says between which two values the offset lies: it is changed only if it
does not lie there, and then by as little as possible. So an answer that took long, because one of the two
machines was busy, changes nothing.

Rules: docs/design.md#r23, docs/design.md#r24.
"""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

from psycopg import Connection

from shim.ledger.fleet_record import LARGE_OFFSET
from shim.ledger.postgres.process_list import read_clock
from shim.ledger.rows import Wall
from shim.model import Duration

log = logging.getLogger(__name__)

_MEASURE_EVERY = 2.0
"""Seconds. Clocks that nobody sets come apart by some 0.1 ms in that time."""

_FIRST_QUESTIONS = 5


class StoreClock:
    """Measures the offset again and again; `wall` is the time of day of this process.

    Attributes:
        offset: the store's clock minus this process's; None: not measured yet.
    """

    def __init__(self, wall: Callable[[], Wall]) -> None:
        self._wall = wall
        self._next_question = 0.0
        self.offset: Duration | None = None

    def measure(self, connection: Connection[Any]) -> None:
        """Ask the store, unless that was done a moment ago. Raises psycopg.Error."""
        if monotonic() < self._next_question:
            return
        self._next_question = monotonic() + _MEASURE_EVERY
        questions = _FIRST_QUESTIONS if self.offset is None else 1
        least, most = min(
            (self._ask(connection) for _ in range(questions)),
            key=lambda bounds: bounds[1] - bounds[0],
        )
        if self.offset is None:
            self._change((least + most) // 2)
        elif not least <= self.offset <= most:
            self._change(max(least, min(self.offset, most)))

    def _ask(self, connection: Connection[Any]) -> tuple[Duration, Duration]:
        """Between which values the offset lies: the store read its clock while we waited."""
        before = self._wall()
        theirs = read_clock(connection)
        return theirs - self._wall(), theirs - before

    def _change(self, offset: Duration) -> None:
        was_large = self.offset is not None and abs(self.offset) > LARGE_OFFSET
        self.offset = offset
        if abs(offset) > LARGE_OFFSET and not was_large:
            log.warning(
                "ledger: the store's clock is %.1f s %s this process's clock; times in the store are by the "
                "store's clock",
                abs(offset) / 1e6,
                "ahead of" if offset > 0 else "behind",
            )
