"""A simulated connection: the port that the router's effects end in."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from shim.model import Close, Confirmation, Connection, Time
from shim.router import NO_CONFIRMATION, Tracked
from shim.simulate.fleet import Link

if TYPE_CHECKING:
    from shim.simulate.clients import Clients


class SimulatedConnection:
    """One connection, from both ends.

    `alive`: the client's end exists; `gone`: the server's does not any more. `tracked` is None while
    nothing happens to the connection, so that the router need not know it. `closing` is what the acting
    monitor wanted, `owes`: the client has yet to answer a ping, `heard_at` when its last packet arrives.
    `stint` counts the times that the router was told of it; `talking`: its next message is planned.
    """

    __slots__ = (
        "alive",
        "clients",
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

    def __init__(self, clients: "Clients", link: Link, id: str, now: Time) -> None:
        self.clients = clients
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
        self.clients.pinged(self, payload)

    def close(self, close: Close) -> None:
        self.clients.closed(self, close)

    def terminate(self) -> None:
        self.clients.terminated(self)

    def forget(self) -> None:
        """The session's reference goes with the connection."""

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION
