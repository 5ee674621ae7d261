"""The live connections and sessions, in pages; the event loop never waits long for a page."""

import asyncio
import socket
import struct
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from shim.console.access.redaction import Names, Pseudonymizer
from shim.console.api.filters import ConnectionsQuery, SessionsQuery, read_number
from shim.console.api.responses import bad_request
from shim.console.api.schemas import (
    ConnectionAnswer,
    EndedAnswer,
    SessionAnswer,
    SessionConnection,
    SocketAnswer,
    stage_word,
)
from shim.model import Role, Stage, Time, seconds
from shim.model.tcp_fields import BYTES_ACKED, RTT, TOTAL_RETRANS
from shim.model.time import seconds_or_none
from shim.router import Tracked
from shim.runtime.coordinator import Coordinator
from shim.runtime.live_connection import LiveConnection
from shim.runtime.sessions import Session

Item = TypeVar("Item", Tracked, Session[LiveConnection])

CHUNK = 1000
"""Connections or sessions that are looked at before the event loop has its turn: about a millisecond."""

_SIZE = BYTES_ACKED + 16
"""Bytes of `struct tcp_info` up to the last field that is shown."""


class ConnectionLists:
    """Reads the shim's connections and sessions; users and sessions may be named by their pseudonyms.

    With a page comes the cursor of the next page (None: this is the last page).
    """

    def __init__(self, shim: Coordinator[Any], pseudonymizer: Pseudonymizer) -> None:
        self._shim = shim
        self._pseudonymizer = pseudonymizer
        candidate = shim.settings.monitors.candidate.settings
        self._heartbeat: int | None = getattr(candidate, "heartbeat_interval", None)

    async def connections(self, query: ConnectionsQuery) -> tuple[list[Tracked], str | None]:
        """The matching connections, in the order of opening. Raises ApiError for a wrong cursor."""
        user = query.user and self._pseudonymizer.resolve(query.user)
        package, kind, acting = query.package, query.kind, query.acting
        stage = None if query.stage is None else Stage[query.stage.upper()]

        def fits(tracked: Tracked) -> bool:
            connection = tracked.connection
            return (
                (user is None or connection.user == user)
                and (package is None or connection.package == package)
                and (kind is None or connection.kind is kind)
                and (stage is None or tracked.stage is stage)
                and (acting is None or tracked.acting is acting)
            )

        return await _page(list(self._shim.router.connections()), fits, query)

    async def sessions(
        self, query: SessionsQuery
    ) -> tuple[list[Session[LiveConnection]], str | None]:
        """The sessions, in the order of their beginning. Raises ApiError for a wrong cursor."""
        user = query.user and self._pseudonymizer.resolve(query.user)

        def fits(session: Session[LiveConnection]) -> bool:
            return user is None or session.user == user

        return await _page(list(self._shim.sessions.values()), fits, query)

    def session(self, name: str) -> Session[LiveConnection] | None:
        return self._shim.sessions.get(self._pseudonymizer.resolve(name))

    def connection_answer(self, names: Names) -> Callable[[Tracked], ConnectionAnswer]:
        """How connections are answered at this moment."""
        now = self._shim.clock()
        return lambda tracked: ConnectionAnswer(**self._facts(tracked, names, now))

    def session_answer(self, names: Names) -> Callable[[Session[LiveConnection]], SessionAnswer]:
        """How sessions are answered."""

        def answer(session: Session[LiveConnection]) -> SessionAnswer:
            glasses = session.glasses_connection
            stages = (stage_word(member.tracked.stage) for member in session.members())
            return SessionAnswer(
                session=names(session.id),
                user=names(session.user),
                stage=next(stages, None),
                glasses=None if glasses is None else glasses.connection.id,
                apps={name: live.connection.id for name, live in session.app_connections.items()},
                sockets=session.open,
            )

        return answer

    def session_facts(self, session: Session[LiveConnection], names: Names) -> dict[str, Any]:
        """A session, its connections, and how its last connections ended, as far as that is remembered."""
        now = self._shim.clock()
        connections = []
        for live in session.members():
            connection = SessionConnection(
                **self._facts(live.tracked, names, now),
                messages=live.tracked.signs,
                round_trip=seconds_or_none(self._shim.router.round_trip(live.tracked)),
                socket=_socket_health(live.transport),
            )
            connections.append(connection)
        ended = [
            EndedAnswer(
                connection=closing.connection.id,
                kind=closing.connection.kind,
                package=closing.connection.package,
                instance=closing.connection.instance and names(closing.connection.instance),
                ago=seconds(now - closing.at),
                connected=seconds(closing.at - closing.opened_at),
                cause=closing.cause,
                intended=closing.intended,
                observed=closing.observed,
            )
            for closing in self._shim.closings.of(session.id)
        ]
        answer = self.session_answer(names)(session)
        return {"session": answer, "connections": connections, "ended": ended}

    def _facts(self, tracked: Tracked, names: Names, now: Time) -> dict[str, Any]:
        connection = tracked.connection
        silence = now - tracked.last_activity
        return {
            "connection": connection.id,
            "kind": connection.kind,
            "user": names(connection.user),
            "session": names(connection.session),
            "package": connection.package,
            "instance": None if connection.instance is None else names(connection.instance),
            "stage": stage_word(tracked.stage),
            "acting": tracked.acting,
            "watched_by": [role for role in Role if tracked.instance(role) is not None],
            "connected": seconds(now - tracked.opened_at),
            "silence": seconds(silence),
            "missed": None if self._heartbeat is None else silence // self._heartbeat,
            "closing": tracked.closed_by is not None,
        }


async def _page(
    everything: Sequence[Item],
    fits: Callable[[Item], bool],
    query: ConnectionsQuery | SessionsQuery,
) -> tuple[list[Item], str | None]:
    """The first that fit after the cursor. A cursor is the order of the last item of the page before."""
    start = bisect_right(everything, _read_cursor(query.cursor), key=attrgetter("order"))
    found: list[Item] = []
    for begin in range(start, len(everything), CHUNK):
        found += filter(fits, everything[begin : begin + CHUNK])
        if len(found) > query.limit:
            return found[: query.limit], str(found[query.limit - 1].order)
        await asyncio.sleep(0)
    return found, None


def _read_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 0
    number = read_number(cursor)
    if number is None:
        raise bad_request("cursor: not one that was given out here")
    return number


def _socket_health(transport: Any) -> SocketAnswer | None:
    """What the kernel knows of a socket: round trip, bytes, repetitions. The shim counts none of it.

    None if that cannot be known: the socket is gone, or this is not Linux.
    """
    sock: socket.socket | None = transport and transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:
        return None
    if len(info) < _SIZE:
        return None
    round_trip, jitter = struct.unpack_from("II", info, RTT)
    (repeated,) = struct.unpack_from("I", info, TOTAL_RETRANS)
    sent, received = struct.unpack_from("QQ", info, BYTES_ACKED)
    return SocketAnswer(
        round_trip=round_trip / 1e6,
        jitter=jitter / 1e6,
        bytes_received=received,
        bytes_sent=sent,
        retransmitted=repeated,
    )
