"""User sessions: each knows its glasses, its apps, and why their connections ended.

This is the seed's ExtendedUserSession. References are dropped only where they still point at the very
connection that ended: a client that came back quickly is stored there already.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from shim.model import Closing, Connection, Kind
from shim.router import Observer, handles


class SessionMember(Protocol):
    @property
    def connection(self) -> Connection: ...


M = TypeVar("M", bound=SessionMember)


@dataclass(slots=True, eq=False)
class Session(Generic[M]):
    id: str
    user: str
    glasses_connection: M | None = None
    app_connections: dict[str, M] = field(default_factory=dict)
    open: int = 0
    """Sockets that have not ended, those included that are being closed."""

    def adopt(self, member: M) -> M | None:
        """Point at a new connection; answers the one that it replaces."""
        connection = member.connection
        if connection.kind is Kind.GLASSES:
            older, self.glasses_connection = self.glasses_connection, member
            return older
        assert connection.package is not None
        older = self.app_connections.get(connection.package)
        self.app_connections[connection.package] = member
        return older

    def forget(self, member: M) -> None:
        """Drop the reference to this connection, never one to a newer connection (R2)."""
        if self.glasses_connection is member:
            self.glasses_connection = None
        package = member.connection.package
        if package is not None and self.app_connections.get(package) is member:
            del self.app_connections[package]

    def members(self) -> Iterator[M]:
        if self.glasses_connection is not None:
            yield self.glasses_connection
        yield from self.app_connections.values()


class LastClosings(Observer):
    """How the last connections ended: so many, whoever's."""

    def __init__(self, most: int = 1000) -> None:
        self._closings: deque[Closing] = deque(maxlen=most)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self._closings.append(closing)

    def of(self, session: str) -> list[Closing]:
        """Those of a session, the newest first."""
        return [c for c in reversed(self._closings) if c.connection.session == session]
