"""A connection without a socket, for benchmarks of everything but sockets."""

from shim.model import Duration
from shim.runtime.live_connection import LiveConnection

_HANDSHAKE: Duration = 10_000
"""How long the client takes to answer a close frame, in microseconds."""


class VirtualConnection(LiveConnection):
    """Its client never speaks, and answers a close frame."""

    __slots__ = ()

    codes = (None, None)
    transport = None

    def send_ping(self, payload: bytes) -> None: ...

    def begin_close(self, code: int, reason: str, timeout: Duration) -> None:
        self._host.call_after(_HANDSHAKE, self.release)

    def abort(self) -> None:
        self._host.call_after(0, self.release)
