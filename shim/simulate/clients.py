"""The clients: their answers, their troubles, and what they do when they are closed.

Every packet takes half a round trip in each direction. A frozen client reads what it has received when it
runs again, in order: the pings, then perhaps the close frame. Packets that a cut network holds back arrive
when the cut is over, unless the server's end of the connection is gone by then.
"""

from typing import Protocol

from shim.model import SECOND, Close, Duration, Time
from shim.simulate import draws
from shim.simulate.client_sort import Trouble, TroubleKind
from shim.simulate.fleet import Fleet
from shim.simulate.link import Link, SimulatedConnection
from shim.simulate.virtual_time import Clock, EventQueue

NORMAL, ABNORMAL = 1000, 1006


class ServerSide(Protocol):
    """The server as clients see it; every call happens at the clock's time."""

    starts: Time
    """Connections are accepted from then on."""

    def open(self, link: Link) -> SimulatedConnection: ...

    def expect(self, link: Link) -> None:
        """The next troubles of a client have changed."""

    def heard(self, connection: SimulatedConnection, payload: bytes | None) -> None:
        """A message (without payload) or a pong has arrived."""

    def replied(self, connection: SimulatedConnection) -> None:
        """The client has answered a close frame."""

    def left(self, connection: SimulatedConnection) -> None:
        """The client has closed."""

    def aborted(self, connection: SimulatedConnection) -> None:
        """The server's end of the transport is gone."""


class Clients:
    """All clients of one server."""

    def __init__(
        self,
        server: ServerSide,
        fleet: Fleet,
        events: EventQueue,
        clock: Clock,
        *,
        return_window: Duration,
    ) -> None:
        self._server = server
        self._fleet = fleet
        self._events = events
        self._clock = clock
        self._return_window = return_window

    def start(self, connect_within: Duration) -> None:
        for link in self._fleet.links:
            self._events.plan(link.arrival(connect_within), self.connect, link)
            self._events.plan(link.next_trouble.start, self._trouble, link)

    def connect(self, link: Link) -> None:
        now, server = self._clock.now, self._server
        if link.blocked(now):
            self._events.plan(link.blocked_until, self.connect, link)
        elif now < server.starts:
            delay = int(draws.uniform(link.key, now) * SECOND)
            self._events.plan(server.starts + delay, self.connect, link)
        else:
            link.connection = server.open(link)

    # -- Signs of life --------------------------------------------------------------------------------

    def pinged(self, connection: SimulatedConnection, payload: bytes) -> None:
        """The server has sent a ping."""
        if not connection.alive:
            return
        now, link = self._clock.server(), connection.link
        if connection.owes and link.blocked_until > now + link.client.longest_when_lossy:
            return  # it would arrive while no packet arrives, and one answer is enough
        round_trip = link.round_trip(now)
        self._send(connection, now + round_trip // 2, now + round_trip, payload)

    def talk(self, connection: SimulatedConnection) -> None:
        """A client that sends messages, as long as its connection is open."""
        if not connection.alive or connection.tracked is None:
            connection.talking = False
            return
        now, link = self._clock.now, connection.link
        if not link.blocked(now):
            self._send(connection, now, now + self._half(link), None)
        self._events.plan(link.message_after(now), self.talk, connection)

    def _send(
        self, connection: SimulatedConnection, sent: Time, arrives: Time, payload: bytes | None
    ) -> None:
        # TCP keeps the order.
        connection.heard_at = max(connection.heard_at, arrives)
        self._events.plan(connection.heard_at, self._arrive, connection, sent, payload)

    def _arrive(self, connection: SimulatedConnection, sent: Time, payload: bytes | None) -> None:
        link = connection.link
        if not connection.alive or connection.gone:
            return
        if link.blocked(sent) or (link.cut and link.blocked(self._clock.now)):
            # All answers arrive at one moment when the block is over: one answer is enough.
            if not connection.owes:
                connection.owes = True
                late = link.blocked_until + self._half(link)
                self._events.plan(late, self._arrive_late, connection, link.blocked_until, payload)
            return
        self._server.heard(connection, payload)

    def _arrive_late(
        self, connection: SimulatedConnection, sent: Time, payload: bytes | None
    ) -> None:
        connection.owes = False
        self._arrive(connection, sent, payload)

    # -- Troubles -------------------------------------------------------------------------------------

    def _trouble(self, link: Link) -> None:
        """The trouble that was drawn for this moment begins, if the client is connected and has no trouble."""
        now, trouble = self._clock.now, link.next_trouble
        link.begin_trouble()
        self._events.plan(link.next_trouble.start, self._trouble, link)
        connection = link.connection
        if connection is None:
            return
        if now >= link.blocked_until and now >= link.lossy_until:
            self._begin(trouble, link, connection)
        if link.connection is not None:
            self._server.expect(link)

    def _begin(self, trouble: Trouble, link: Link, connection: SimulatedConnection) -> None:
        now = self._clock.now
        if trouble.kind is TroubleKind.LOSSY:
            link.lossy_until = trouble.end
        elif trouble.kind is TroubleKind.FREEZE:
            link.blocked_since, link.blocked_until, link.cut = now, trouble.end, False
            self._events.plan(trouble.end, self._recovered, link)
        elif trouble.kind is TroubleKind.DROP:
            link.blocked_since, link.blocked_until, link.cut = now, trouble.end, True
            self._lose(connection)
            if not connection.gone:
                link.older.append(connection)
            self._events.plan(trouble.end, self._come_back, link, ABNORMAL)
        else:
            assert trouble.kind is TroubleKind.LEAVE
            self._lose(connection)
            self._events.plan(now + self._half(link), self._server.left, connection)
            self._events.plan(trouble.end, self.connect, link)

    def cut(self, share: float, until: Time) -> None:
        """The network between the server and a share of the users is gone for a while."""
        now = self._clock.now
        for link in self._fleet.links:
            if link.user.cut >= share:
                continue
            if not link.blocked(now):
                link.blocked_since = now
            link.blocked_until = max(link.blocked_until, until)
            link.cut = True
            if link.client.message_every is not None:
                self._events.plan(until, self._recovered, link)

    def _recovered(self, link: Link) -> None:
        """A client that would have sent a message during the trouble sends it now."""
        now, connection = self._clock.now, link.connection
        if connection is None or connection.tracked is None or link.blocked(now):
            return
        if link.client.message_every is not None and (link.message_after(link.blocked_since) < now):
            self._send(connection, now, now + self._half(link), None)

    # -- Being closed ---------------------------------------------------------------------------------

    def closed(self, connection: SimulatedConnection, close: Close) -> None:
        """The acting monitor has sent a close frame."""
        self._acted_on(connection)
        connection.closing = close
        now = self._clock.server()
        self._events.plan(now + close.timeout, self._server.aborted, connection)
        self.dismissed(connection, close.code)

    def terminated(self, connection: SimulatedConnection) -> None:
        """The acting monitor has aborted the transport."""
        self._acted_on(connection)
        self._server.aborted(connection)
        self.dismissed(connection, ABNORMAL)

    def dismissed(self, connection: SimulatedConnection, code: int) -> None:
        """The server has closed with this code; the client will notice, if there is a client."""
        if connection.alive:
            at = self._clock.server() + self._half(connection.link)
            self._events.plan(at, self._learn, connection, code, False)

    def _acted_on(self, connection: SimulatedConnection) -> None:
        connection.link.pending_until = self._clock.server() + self._return_window

    def _learn(self, connection: SimulatedConnection, code: int, held_back: bool) -> None:
        """The client notices that it was closed. `held_back`: the network had delayed the notice."""
        now, link = self._clock.now, connection.link
        if not connection.alive:
            return
        if link.blocked(now):
            at = link.blocked_until + (self._half(link) if link.cut else 0)
            self._events.plan(at, self._learn, connection, code, held_back or link.cut)
            return
        self._lose(connection)
        if not connection.gone:
            # Answers that the client still owed when it read the frame go out before the reply.
            self._events.plan(now + self._half(link), self._server.replied, connection)
        elif held_back:
            # A frame that had not arrived when the server's end vanished never arrives.
            code = ABNORMAL
        self._come_back(link, code)

    def _lose(self, connection: SimulatedConnection) -> None:
        connection.alive = False
        if connection.link.connection is connection:
            connection.link.connection = None

    def _come_back(self, link: Link, code: int) -> None:
        now = self._clock.now
        self._events.plan(now + link.returns_after(code, now), self.connect, link)

    def _half(self, link: Link) -> Duration:
        """A packet's way in one direction, now."""
        return link.round_trip(self._clock.now) // 2
