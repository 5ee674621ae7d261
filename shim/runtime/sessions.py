"""User sessions: each knows its glasses and its apps.

This is the ExtendedUserSession of MentraOS. A reference is dropped only if it still points at the very
connection that ended: a client that came back quickly may be stored there already.

Rules: docs/design.md#r2.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from shim.model import Closing, Connection, Identity, Kind
from shim.router import Observer, handles


class SessionMember(Protocol):
    """What a session needs to know of a live connection."""

    @property
    def connection(self) -> Connection: ...


M = TypeVar("M", bound=SessionMember)


@dataclass(slots=True, eq=False, repr=False)
class Session(Generic[M]):
    """One user session."""

    id: str
    user: str
    order: int
    """Sessions that begin later have higher numbers."""
    counted: bool = False
    """Somebody vouches that there is such a user, so what happens to the user is evidence."""
    open: int = field(default=0, init=False)
    """The number of its sockets that have not ended, those being closed included."""
    # A tuple: sessions have few connections, and a dict for each session takes four times the memory.
    _members: tuple[M, ...] = field(default=(), init=False)

    @property
    def glasses_connection(self) -> M | None:
        """The newest connection of the user's glasses."""
        for member in self._members:
            if member.connection.kind is Kind.GLASSES:
                return member
        return None

    @property
    def app_connections(self) -> dict[str, M]:
        """The connections of apps, by package name; an app that names an instance is `package/instance`."""
        return {
            package if instance is None else f"{package}/{instance}": member
            for member in self._members
            for _, _, package, instance in (member.connection.identity,)
            if package is not None
        }

    def member(self, identity: Identity) -> M | None:
        """The connection of this identity that the session points at."""
        for member in self._members:
            if member.connection.identity == identity:
                return member
        return None

    def adopt(self, member: M) -> None:
        """Point at a new connection, in place of an older connection of that identity."""
        if not self._members:
            self._members = (member,)
            return
        connection = member.connection
        older = self.member(connection.identity)
        others = tuple(other for other in self._members if other is not older)
        self._members = (member, *others) if connection.kind is Kind.GLASSES else (*others, member)

    def forget(self, member: M) -> None:
        """Drop the reference to this connection, never one to a newer connection (R2)."""
        if member in self._members:
            self._members = tuple(other for other in self._members if other is not member)

    def members(self) -> Iterator[M]:
        """The connections that the session points at: the glasses, then the apps."""
        return iter(self._members)


class LastClosings(Observer):
    """How the last connections of all sessions ended; at most `most` are kept."""

    def __init__(self, most: int = 1000) -> None:
        self._closings: deque[Closing] = deque(maxlen=most)

    @handles(Closing)
    def _closed(self, closing: Closing) -> None:
        self._closings.append(closing)

    def of(self, session: str) -> list[Closing]:
        """The closings of one session, the newest first."""
        return [c for c in reversed(self._closings) if c.connection.session == session]
