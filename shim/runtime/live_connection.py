"""Live connections: what the integrations share, whatever the WebSocket library.

Rules: docs/design.md#r14b.
"""

import logging
from abc import ABC, abstractmethod
from asyncio import Transport
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from shim.model import Cause, Close, Confirmation, Connection, Duration, Time
from shim.model.visible_text import describe_id
from shim.router import NO_CONFIRMATION, Tracked
from shim.runtime.sessions import Session
from shim.runtime.tcp_info import read_backlog, read_confirmation

log = logging.getLogger(__name__)

NORMAL, INTERNAL_ERROR = (1000, ""), (1011, "")
"""How a handler ends a connection that is still open: by returning, and by raising."""

RESTART = (1012, "the service restarts")
"""How a connection ends while the service ends."""


class Host(Protocol):
    """What a live connection needs of the coordinator."""

    close_timeout: Duration
    draining: bool

    @property
    def name_in_log(self) -> Callable[[str], str]: ...

    @property
    def clock(self) -> Callable[[], Time]: ...

    def call_after(self, delay: Duration, callback: Callable[[], None]) -> None:
        """Call back in about `delay` microseconds."""

    def watch(self, live: Any) -> tuple[Tracked, Callable[[Tracked], None]]:
        """Begin to watch; answers the router's record, and the per-message call, which takes the record."""

    def pong(self, tracked: Tracked, payload: bytes) -> None:
        """A pong came; the per-message call has been made."""

    def data(self, tracked: Tracked) -> None:
        """The client pinged."""

    def spoke_after_close(self, tracked: Tracked) -> None:
        """A close reply came."""

    def gone(self, live: Any) -> None:
        """The connection ended, or begins to end, and no monitor is the cause."""

    def released(self, live: Any) -> None:
        """The transport has ended."""


class LiveConnection(ABC):
    """One socket: the port of the router, and a context manager for the handler that serves it.

    A WebSocket library brings the five abstract methods, and calls `touch(tracked)` or `saw_…` for each
    frame that it reads from the transport, and `release` when the transport has ended.

    `touch` is the call for each message. `cause` is known once the connection ends, or begins to end.
    `ended`: the transport is gone, and no monitor watches the connection any more.
    """

    __slots__ = (
        "_acknowledged",
        "_host",
        "_signs_at_ping",
        "cause",
        "connection",
        "ended",
        "session",
        "touch",
        "tracked",
    )

    def __init__(self, host: Host, connection: Connection, session: Session[Any]) -> None:
        self._host = host
        self.connection = connection
        self.session = session
        self.cause: Cause | None = None
        self.ended = False
        # How much the peer had acknowledged at the last pings that found a backlog, two at most. Small
        # numbers, of which Python has one object each, say whether there was a sign of life since a ping.
        self._acknowledged: tuple[int, ...] = ()
        self._signs_at_ping = -1
        self.tracked, self.touch = host.watch(self)

    # -- What an integration brings ---------------------------------------------------------------

    @property
    @abstractmethod
    def codes(self) -> tuple[int | None, int | None]:
        """The codes of the close frames that were sent and that came, as far as there were any.

        A reply to the peer's close frame is no close frame that was sent.
        """

    @property
    @abstractmethod
    def transport(self) -> Transport | None:
        """The transport, while it is there."""

    @abstractmethod
    def send_ping(self, payload: bytes) -> None:
        """Send a ping without waiting; after a close frame nothing is sent."""

    @abstractmethod
    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        """Send the close frame and see to it that the transport is gone `timeout` microseconds later."""

    @abstractmethod
    def abort(self) -> None:
        """End the transport now, also with a full send buffer; nothing happens if it has ended."""

    # -- What an integration reports --------------------------------------------------------------

    def saw_pong(self, payload: bytes) -> None:
        self.touch(self.tracked)
        self._host.pong(self.tracked, payload)

    def saw_ping(self) -> None:
        self._host.data(self.tracked)

    def saw_close(self) -> None:
        """A close frame was read: after a monitor's close a proof of life (R14b)."""
        if self.tracked.closed_by is not None:
            self._host.spoke_after_close(self.tracked)

    def release(self, *, by_application: bool = False) -> None:
        """The transport has ended: no monitor watches the connection any more.

        `by_application`: the service has ended it, also where no close frame tells that.
        """
        if self.ended:
            return
        self.ended = True
        if self.cause is None:
            by_application = by_application or self.codes[0] is not None
            self.cause = Cause.APPLICATION if by_application else Cause.PEER
        self._host.gone(self)
        self._host.released(self)

    # -- Port of the router -----------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        signs = self.tracked.signs & 0xFF
        if signs != self._signs_at_ping:
            self._signs_at_ping = signs
            self._acknowledged = ()
        else:
            # No answer to the last ping: is it behind a backlog? The kernel is asked only then, which takes
            # as long as the ping itself.
            self._look_for_backlog()
        self.send_ping(payload)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "[User: %s] Heartbeat sent to %s [%s]",
                self._host.name_in_log(self.connection.user),
                describe_id(self.connection.package or "unknown"),
                payload.decode("ascii", "replace"),
            )

    def _look_for_backlog(self) -> None:
        transport = self.transport
        backlog = None if transport is None else read_backlog(transport)
        if backlog is not None:
            self._acknowledged = (*self._acknowledged[-1:], backlog)
        elif self._acknowledged:
            self._acknowledged = self._acknowledged[1:]

    def close(self, close: Close) -> None:
        self.cause = self._closing_monitor()
        try:
            self.begin_close(close.code, close.reason, close.timeout)
        except Exception:
            log.exception("Error closing timed out connection")
            self.abort()

    def terminate(self) -> None:
        self.cause = self._closing_monitor()
        self.abort()

    def forget(self) -> None:
        self.session.forget(self)

    def confirm(self) -> Confirmation:
        transport = self.transport
        if transport is None or transport.is_closing():
            return NO_CONFIRMATION
        confirmation = read_confirmation(transport, self._host.clock(), self._acknowledged)
        if not self._acknowledged:
            self._look_for_backlog()
            if self._acknowledged:  # whether it drains is known at the next question
                return replace(confirmation, unread=True)
        return confirmation

    def _closing_monitor(self) -> Cause:
        assert self.tracked.closed_by is not None
        return Cause(self.tracked.closed_by.value)

    # -- For the service --------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """What the handler leaves open is closed: with 1011 if the handler raised, else with 1000.

        While the service ends, it is 1012: a server may end the handlers, too.
        """
        close = NORMAL if kind is None else INTERNAL_ERROR
        self.close_by_application(*(RESTART if self._host.draining else close))

    def close_by_application(self, code: int, reason: str) -> None:
        """Begin to close for a reason of the service's own; bounded as every closing is."""
        if self.ended:
            return
        if self.cause is None and self.codes == (None, None):
            self.cause = Cause.APPLICATION
        self.begin_close(code, reason, self._host.close_timeout)
        self._host.gone(self)
