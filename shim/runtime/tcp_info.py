"""What the kernel knows about a peer (R3b: docs/design.md#r3b), and the abort.

The kernel is asked for a `Confirmation` before a decision only, and for a backlog at pings in a silence.
"""

import fcntl
import socket
import struct
import sys
import termios
from asyncio import Transport
from contextlib import suppress

from shim.model import Confirmation, Time
from shim.model.tcp_fields import BYTES_ACKED, idle_time
from shim.router import NO_CONFIRMATION

_BACKLOG = 16 * 1024
"""Bytes; less is on its way at any time on a line that is in order."""

_MORE_THAN_PINGS = 1024
"""Bytes; the kernel of a frozen client acknowledges single pings, which prove nothing."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for 0 s: closing the socket discards what was not sent, and resets the connection."""


def read_confirmation(
    transport: Transport, now: Time, acknowledged: tuple[int, ...]
) -> Confirmation:
    """When the kernel last received data, and whether silence can be judged; unknown if it cannot say.

    `acknowledged`: what `read_backlog` answered at the last pings, the oldest answer first.
    """
    is_reading = getattr(transport, "is_reading", None)
    unread = is_reading is not None and not is_reading()
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return NO_CONFIRMATION
    try:
        unread = unread or _ask(sock, termios.FIONREAD) > 0
        if sys.platform != "linux":
            return Confirmation(None, unread)
        info = _tcp_info(sock)
        if acknowledged:
            # Also if nothing waits any more: the answer to a ping may still be on its way.
            unread = unread or _bytes_acked(info) - acknowledged[0] > _MORE_THAN_PINGS
    except OSError:
        return NO_CONFIRMATION
    return Confirmation(now - idle_time(info), unread)


def read_backlog(transport: Transport) -> int | None:
    """How many bytes the peer has acknowledged in all, while a backlog waits to be sent to it.

    None: there is no backlog, or the system cannot say.
    """
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or sock.fileno() < 0:
        return None
    try:
        # Bytes that were not sent, or not acknowledged.
        if transport.get_write_buffer_size() + _ask(sock, termios.TIOCOUTQ) <= _BACKLOG:
            return None
        info = _tcp_info(sock)
    except OSError:
        return None
    return _bytes_acked(info) if len(info) >= BYTES_ACKED + 8 else None


def _ask(sock: socket.socket, what: int) -> int:
    answer = fcntl.ioctl(sock.fileno(), what, b"\0\0\0\0")
    return int.from_bytes(answer, sys.byteorder)


def _tcp_info(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)


def _bytes_acked(info: bytes) -> int:
    (acked,) = struct.unpack_from("Q", info, BYTES_ACKED)
    return int(acked)


def below_tls(transport: Transport) -> Transport:
    """The transport that carries this one, or itself without TLS.

    asyncio's transport of TLS cannot be aborted after it was closed twice, as the shim and aiohttp do.
    """
    carrier: Transport | None = getattr(
        getattr(transport, "_ssl_protocol", None), "_transport", None
    )
    return carrier or transport


def abort_transport(transport: Transport) -> None:
    """Abort, and let the kernel discard what was not sent: a frozen peer would never fetch it."""
    transport = below_tls(transport)
    with suppress(OSError, AttributeError):  # the second: asyncio's TLS was closed twice
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
