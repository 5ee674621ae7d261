"""A thread that keeps a process in touch with its fleet: what others decided, or what it does for all.

It has a connection of its own, so that a long outbox that is being shipped delays nothing; and what follows
the others has another link than what reads much. Nothing waits for it. While the store does not answer, every
duty keeps what it knew.

Rules: docs/design.md#r23, docs/design.md#r25.
"""

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Event, Thread
from typing import Any

import psycopg

from shim.ledger.postgres.brake_orders import CHANNEL
from shim.ledger.postgres.line_guard import at_most
from shim.ledger.postgres.store_connection import (
    connected,
    end_left_behind,
)
from shim.ledger.time_limit import time_limit
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl

log = logging.getLogger(__name__)

_ROUND = 0.3
_SHORTEST_RETRY, _LONGEST_RETRY = 0.1, 2.0
"""Seconds."""


class FleetDuty(ABC):
    """Something that a process does with the fleet's store, again and again."""

    @abstractmethod
    def attend(self, connection: "psycopg.Connection[Any]") -> None:
        """Do what there is to do now, in the thread of the link. May raise psycopg.Error and InputError."""

    @abstractmethod
    def leave(self, connection: "psycopg.Connection[Any]") -> None:
        """The process stops: the last chance."""


class FleetLink:
    """Attends to its duties three times a second, and at once when an order to the brake is heard of."""

    def __init__(
        self,
        url: LedgerUrl,
        duties: Sequence[FleetDuty],
        *,
        longest: float,
        silence: float,
        without: str,
    ) -> None:
        """`longest`: seconds that a duty may take, and `silence`: how long nothing may come from the store
        meanwhile; then the store is taken to be away. `without` says for people what becomes of the duties
        while it is.
        """
        self._url = url
        self._duties = tuple(duties)
        self._longest = longest
        self._silence = silence
        self._without = without
        self._stopping = Event()
        self._problem: str | None = None
        self._thread = Thread(target=self._work, name="shim-fleet", daemon=True)

    @property
    def problem(self) -> str | None:
        """Why the fleet cannot be reached; None: it can."""
        return self._problem

    def start(self) -> None:
        """Begin; the store need not answer."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End, within so many seconds."""
        self._stopping.set()
        self._thread.join(timeout)

    def _work(self) -> None:
        delay = _SHORTEST_RETRY
        while not self._stopping.is_set():
            try:
                with connected(self._url) as connection:
                    with self._patience(connection):
                        end_left_behind(connection)
                        connection.execute(f"LISTEN {CHANNEL}".encode())
                    while not self._stopping.is_set():
                        self._attend(connection)
                        delay = _SHORTEST_RETRY
                        # The next round begins when somebody has given an order, or when it is time.
                        for _ in connection.notifies(timeout=_ROUND, stop_after=1):
                            pass
                    with self._patience(connection):
                        for duty in self._duties:
                            duty.leave(connection)
                return
            except InputError as error:
                self._trouble(str(error))
            except Exception:
                log.critical("fleet: the link failed; it begins anew", exc_info=True)
                self._problem = "the link failed"
            self._stopping.wait(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, _LONGEST_RETRY)

    def _attend(self, connection: "psycopg.Connection[Any]") -> None:
        for duty in self._duties:
            with self._patience(connection), time_limit(self._longest):
                duty.attend(connection)
        if self._problem is not None:
            log.info("fleet: the store answers again")
            self._problem = None

    def _patience(self, connection: "psycopg.Connection[Any]") -> AbstractContextManager[None]:
        return at_most(self._longest, connection, silence=self._silence)

    def _trouble(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("fleet: %s: %s", self._without, problem)
            self._problem = problem
