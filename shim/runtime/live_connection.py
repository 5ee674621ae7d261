"""Live connections: what the integrations share, whatever the WebSocket library."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shim.model import Cause, Close, Confirmation, Connection
from shim.router import NO_CONFIRMATION, Tracked
from shim.runtime.tcp_info import evidence

if TYPE_CHECKING:
    from shim.runtime.coordinator import Coordinator
    from shim.runtime.sessions import Session

log = logging.getLogger("shim")


class LiveConnection:
    """One socket: the port of the router, and a context manager for the handler that serves it.

    `touch` is the per-message call. `cause` is known once the connection ends, or begins to;
    `ended`: nobody watches it any more.
    """

    __slots__ = ("_shim", "cause", "connection", "ended", "session", "touch", "tracked")

    connection: Connection
    session: "Session[Any]"
    tracked: Tracked
    touch: Callable[[], None]

    def __init__(self, shim: "Coordinator[Any]") -> None:
        self.cause: Cause | None = None
        self._shim = shim
        self.ended = False

    # -- What an integration brings ---------------------------------------------------------------

    @property
    def codes(self) -> tuple[int | None, int | None]:
        """The codes of the close frames that were sent and that came, as far as there were any."""
        raise NotImplementedError

    def abort(self) -> None:
        """End the transport now, also with a full send buffer; nothing happens if it has ended."""
        raise NotImplementedError

    def _send_ping(self, payload: bytes) -> None:
        raise NotImplementedError

    def _begin_close(self, code: int, reason: str, timeout: int | None = None) -> None:
        """Send the close frame and see to it that the transport is gone `timeout` later."""
        raise NotImplementedError

    @property
    def transport(self) -> Any:
        raise NotImplementedError

    # -- Port -------------------------------------------------------------------------------------

    def ping(self, payload: bytes) -> None:
        self._send_ping(payload)
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "[User: %s] Heartbeat sent to %s [%s]",
                self._shim.name_in_log(self.connection.user),
                self.connection.package or "unknown",
                payload.decode("ascii", "replace"),
            )

    def close(self, close: Close) -> None:
        self.cause = self._closing_monitor()
        try:
            self._begin_close(close.code, close.reason, close.timeout)
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
        return evidence(
            transport.get_extra_info("socket"), self._shim.clock(), not _is_reading(transport)
        )

    # -- For the service --------------------------------------------------------------------------

    async def __aenter__(self) -> "LiveConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def close_by_application(self, code: int, reason: str) -> None:
        """Begin to close for a reason of the service's own; bounded as every closing is."""
        if self.ended:
            return
        if self.cause is None and self.codes == (None, None):
            self.cause = Cause.APPLICATION
        self._begin_close(code, reason, self._shim.close_timeout)
        self._shim.gone(self)

    def release(self) -> None:
        """The socket has ended, or the handler has: nobody watches it any more."""
        if self.ended:
            return
        self.ended = True
        if self.cause is None:
            self.cause = Cause.PEER if self.codes[0] is None else Cause.APPLICATION
        self._shim.gone(self)
        self._shim.released(self)

    def _closing_monitor(self) -> Cause:
        assert self.tracked.closed_by is not None
        return Cause(self.tracked.closed_by.value)


def _is_reading(transport: Any) -> bool:
    is_reading = getattr(transport, "is_reading", None)
    return True if is_reading is None else bool(is_reading())
