"""The watcher of the clients' returns, as the router knows it: for one process, or for a process of a fleet.

Rules: docs/design.md#r15, docs/design.md#r24.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

from shim.model import (
    BY_CHANCE,
    Connection,
    Duration,
    Identity,
    Outcome,
    Placement,
    Return,
    Role,
    Time,
)


class Opening(Protocol):
    """A connection that is open, and since when."""

    connection: Connection
    opened_at: Time


class ReturnWatcher(ABC):
    """Knows which connections are open, and is told which were acted on.

    `return_window` (microseconds) is counted from the later of the action and the last sign of life plus
    `patience`: the control's timeout and its interval (0 without a control).
    """

    def __init__(self, return_window: Duration, patience: Duration) -> None:
        self._return_window = return_window
        self._patience = patience
        # What each user has open; few each, so a tuple is smallest.
        self._open: dict[str, tuple[Opening, ...]] = {}

    def window_end(self, acted_at: Time, last_activity: Time) -> Time:
        """The last moment for a return."""
        return max(acted_at, last_activity + self._patience) + self._return_window

    def openings(self, identity: Identity) -> Iterator[Opening]:
        """The open connections of an identity."""
        for one in self._open.get(identity[0], ()):
            if one.connection.identity == identity:
                yield one

    def keep(self, opening: Opening) -> None:
        """A connection is open from now on."""
        user = opening.connection.user
        self._open[user] = (*self._open.get(user, ()), opening)

    def drop(self, connection: Connection) -> Opening | None:
        """A connection is open no longer; its opening, unless it was closed before."""
        dropped = None
        others = []
        for one in self._open.pop(connection.user, ()):
            if one.connection.id == connection.id:
                dropped = one
            else:
                others.append(one)
        if others:
            self._open[connection.user] = tuple(others)
        return dropped

    def acted(
        self,
        connection: Connection,
        role: Role,
        now: Time,
        last_activity: Time,
        code: int | None = None,
        placement: Placement = BY_CHANCE,
    ) -> Outcome | None:
        """A timeout was acted on; the connection is closed by that."""
        self.closed(connection, now)
        return self.wait(
            Outcome(
                connection=connection,
                role=role,
                result=Return.CENSORED,
                acted_at=now,
                at=now,
                window_ends=self.window_end(now, last_activity),
                last_activity=last_activity,
                code=code,
                placement=placement,
            )
        )

    @property
    @abstractmethod
    def next_loss(self) -> Time | None:
        """When `expire` has the next loss to tell (a window is inclusive); None: it has none."""

    @abstractmethod
    def opened(self, opening: Opening) -> Outcome | None:
        """A connection was registered: perhaps a client that comes back."""

    @abstractmethod
    def closed(self, connection: Connection, now: Time) -> None:
        """A connection is no longer open, whoever closed it."""

    @abstractmethod
    def wait(self, action: Outcome) -> Outcome | None:
        """A timeout was acted on, and its connection is closed; the outcome, if that is known at once.

        `action` is the outcome as far as it is known: `censored`, at the time of the action.
        """

    @abstractmethod
    def expire(self, now: Time) -> Iterator[Outcome]:
        """Losses: the windows (inclusive) that passed before `now`."""

    @abstractmethod
    def finish(self, now: Time) -> Iterator[Outcome]:
        """The record ends: what it covered is lost, the rest is censored."""
