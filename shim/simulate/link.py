"""A link: one client of one user, and the connections on which it comes and goes."""

from collections.abc import Callable
from typing import Protocol

from shim.model import Close, Confirmation, Connection, Duration, Kind, Stage, Time
from shim.router import NO_CONFIRMATION, Tracked
from shim.simulate import draws
from shim.simulate.client_sort import ClientSort, Trouble
from shim.simulate.draws import Stream


class User:
    """One user.

    Attributes:
        frailty: the factor of the rates of trouble of the user's clients.
        cut, sample: they say into which shares of users this one falls.
        in_session: since the server started, a connection of the user's was opened.
        open: the number of open connections, by kind.
    """

    __slots__ = (
        "by_percentage",
        "cut",
        "frailty",
        "in_session",
        "name",
        "open",
        "sample",
        "stage",
    )

    def __init__(
        self,
        name: str,
        stage: Stage,
        *,
        by_percentage: bool,
        frailty: float,
        cut: float,
        sample: float,
    ) -> None:
        self.name = name
        self.stage = stage
        self.by_percentage = by_percentage
        self.frailty = frailty
        self.cut = cut
        self.sample = sample
        self.in_session = False
        self.open = dict.fromkeys(Kind, 0)


class Link:
    """What stays the same when one client of one user comes back on another connection.

    Attributes:
        connection: the connection that the client believes in.
        older: connections that only the server still has.
        opened: the number of connections so far.
        blocked_since, blocked_until: meanwhile nothing is heard of the client.
        cut: the client is blocked because packets are lost.
        lossy_until: until then many packets are lost.
        pending_until: the end of the last return window.
        next_trouble, following: the next two troubles.
    """

    __slots__ = (
        "_troubles",
        "blocked_since",
        "blocked_until",
        "client",
        "connection",
        "cut",
        "following",
        "index",
        "key",
        "lossy_until",
        "next_trouble",
        "older",
        "opened",
        "package",
        "pending_until",
        "user",
    )

    def __init__(
        self, index: int, user: User, client: ClientSort, number: int, *, key: int
    ) -> None:
        self.index = index
        self.user = user
        self.client = client
        self.key = key
        self.package = client.package(number)
        self.connection: SimulatedConnection | None = None
        self.older: list[SimulatedConnection] = []
        self.opened = 0
        self.blocked_since: Time = -1
        self.blocked_until: Time = -1
        self.lossy_until: Time = -1
        self.cut = False
        self.pending_until: Time = -1
        self._troubles = 0
        self.next_trouble = self._trouble_after(None)
        self.following = self._trouble_after(self.next_trouble)

    def blocked(self, at: Time) -> bool:
        return self.blocked_since <= at < self.blocked_until

    def arrival(self, within: Duration) -> Time:
        """When the client connects for the first time."""
        return int(draws.uniform(self.key ^ Stream.ARRIVAL, 0) * within)

    def round_trip(self, at: Time) -> Duration:
        """The time from a packet at `at` to its answer."""
        return self.client.round_trip(self.key, at, at < self.lossy_until)

    def message_after(self, at: Time) -> Time:
        """When the client sends its first message after `at`."""
        return self.client.message_after(self.key, at)

    def returns_after(self, code: int, at: Time) -> Duration:
        """The time from a close with this code to the return."""
        return self.client.returns_after(self.key, code, at)

    def begin_trouble(self) -> None:
        """The next trouble has begun: look for the one after the following."""
        self.next_trouble = self.following
        self.following = self._trouble_after(self.following)

    def _trouble_after(self, before: Trouble | None) -> Trouble:
        number, self._troubles = self._troubles, self._troubles + 1
        return self.client.trouble_after(self.key, number, before, self.user.frailty)


class ClientSide(Protocol):
    """The client's end of connections: what it receives of the server."""

    def pinged(self, connection: "SimulatedConnection", payload: bytes) -> None:
        """The server has sent a ping."""

    def closed(self, connection: "SimulatedConnection", close: Close) -> None:
        """The acting monitor has sent a close frame."""

    def terminated(self, connection: "SimulatedConnection") -> None:
        """The acting monitor has aborted the transport."""


class SimulatedConnection:
    """One connection, from both ends; the port that the router's effects end in.

    Attributes:
        alive: the client's end exists.
        gone: the server's end does not exist any more.
        tracked: the router's record; None while the router need not know the connection.
        closing: what the acting monitor wanted.
        owes: the client has yet to answer a ping.
        heard_at: when the client's last packet arrives.
        stint: the number of times that the router was told of the connection.
        talking: the client's next message is planned.
    """

    __slots__ = (
        "alive",
        "client_side",
        "closing",
        "gone",
        "heard_at",
        "id",
        "link",
        "opened_at",
        "owes",
        "stint",
        "talking",
        "touch",
        "tracked",
    )

    touch: Callable[[], None]

    def __init__(self, client_side: ClientSide, link: Link, id: str, now: Time) -> None:
        self.client_side = client_side
        self.link = link
        self.id = id
        self.opened_at = now
        self.heard_at = now
        self.alive = True
        self.gone = False
        self.owes = False
        self.talking = False
        self.stint = 0
        self.tracked: Tracked | None = None
        self.closing: Close | None = None

    @property
    def connection(self) -> Connection:
        link = self.link
        return Connection(self.id, link.client.kind, link.user.name, link.user.name, link.package)

    # -- Port -----------------------------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        self.client_side.pinged(self, payload)

    def close(self, close: Close) -> None:
        self.client_side.closed(self, close)

    def terminate(self) -> None:
        self.client_side.terminated(self)

    def forget(self) -> None:
        """The session's reference goes with the connection."""

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION
