"""Ports: where the effects of a monitor end, on a socket or in a record."""

from typing import Protocol

from shim.model import Close, Confirmation

NO_CONFIRMATION = Confirmation()
"""What is answered about a socket that is gone, or of which nothing can be known."""


class Port(Protocol):
    """The socket of one connection, as the router sees it. No method blocks or awaits."""

    def ping(self, payload: bytes) -> None:
        """Send a ping; a port that cannot, drops it."""

    def close(self, close: Close) -> None:
        """Begin the closing handshake; the port sees to it that it ends within `close.timeout`."""

    def terminate(self) -> None:
        """Abort the transport."""

    def forget(self) -> None:
        """Drop the session's reference, if it still points at this very socket."""

    def confirm(self) -> Confirmation:
        """What the kernel knows about the peer; only reads."""


class NoSocket:
    """The port of a connection that has no socket, or whose socket has ended: it does nothing."""

    def ping(self, payload: bytes) -> None: ...

    def close(self, close: Close) -> None: ...

    def terminate(self) -> None: ...

    def forget(self) -> None: ...

    def confirm(self) -> Confirmation:
        return NO_CONFIRMATION


NO_SOCKET = NoSocket()
