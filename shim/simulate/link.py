"""A link: one client of one user, and the connections on which it comes and goes."""

from dataclasses import InitVar, dataclass, field
from typing import Protocol

from shim.model import Close, Confirmation, Connection, Duration, Kind, Placement, Stage, Time
from shim.router import NO_CONFIRMATION, Tracked
from shim.simulate import draws
from shim.simulate.client_sort import ClientSort, Trouble
from shim.simulate.draws import Stream


@dataclass(slots=True, eq=False)
class User:
    """One user."""

    name: str
    stage: Stage
    placement: Placement = field(kw_only=True)
    frailty: float = field(kw_only=True)
    """The factor of the rates of trouble of the user's clients."""
    cut: float = field(kw_only=True)
    """From 0 to 1: a cut of the network hits this user if it hits a larger share of the users."""
    sample: float = field(kw_only=True)
    """From 0 to 1: this user is simulated and recorded whole if a larger share of the users is to be."""
    in_session: bool = False
    """Since the server started, a connection of the user's was opened."""
    open: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    """The number of open connections, by kind."""


@dataclass(slots=True, eq=False)
class Link:
    """What stays the same when one client of one user comes back on another connection."""

    index: int
    user: User
    client: ClientSort
    number: InitVar[int]
    key: int = field(kw_only=True)
    package: str | None = field(init=False)
    connection: "SimulatedConnection | None" = None
    """The connection that the client believes in."""
    older: "list[SimulatedConnection]" = field(default_factory=list)
    """Connections that only the server still has."""
    opened: int = 0
    """The number of connections so far."""
    blocked_since: Time = -1
    blocked_until: Time = -1
    """From the one to the other nothing is heard of the client."""
    cut: bool = False
    """The client is blocked because packets are lost."""
    lossy_until: Time = -1
    """Until then many packets are lost."""
    pending_until: Time = -1
    """The end of the last return window."""
    _troubles: int = 0
    next_trouble: Trouble = field(init=False)
    following: Trouble = field(init=False)
    """The trouble after `next_trouble`."""

    def __post_init__(self, number: int) -> None:
        self.package = self.client.package(number)
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


@dataclass(slots=True, eq=False)
class SimulatedConnection:
    """One connection, from both ends; the port that the router's effects end in."""

    client_side: ClientSide
    link: Link
    id: str
    opened_at: Time
    heard_at: Time = field(init=False)
    """When the client's last packet arrives."""
    alive: bool = True
    """The client's end exists."""
    gone: bool = False
    """The server's end does not exist any more."""
    owes: bool = False
    """The client has yet to answer a ping."""
    talking: bool = False
    """The client's next message is planned."""
    stint: int = 0
    """The number of times that the router was told of the connection."""
    tracked: Tracked | None = None
    """The router's record; None while the router need not know the connection."""
    closing: Close | None = None
    """What the acting monitor wanted."""

    def __post_init__(self) -> None:
        self.heard_at = self.opened_at

    @property
    def connection(self) -> Connection:
        link = self.link
        return Connection(
            id=self.id,
            kind=link.client.kind,
            user=link.user.name,
            session=link.user.name,
            package=link.package,
        )

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
