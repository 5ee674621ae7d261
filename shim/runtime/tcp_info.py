"""What the kernel knows about a peer (R3b: docs/design.md#r3b), asked only before a decision; and the abort."""

import fcntl
import socket
import struct
import sys
import termios
from asyncio import Transport
from contextlib import suppress

from shim.model import Confirmation, Time
from shim.router import NO_CONFIRMATION

_LAST_DATA_RECV = 52
"""Offset of `tcpi_last_data_recv`, milliseconds, in Linux's `struct tcp_info`."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER, on, for 0 s: closing the socket discards what was not sent, and resets the connection."""


def read_confirmation(sock: socket.socket | None, now: Time, reading_paused: bool) -> Confirmation:
    """When the kernel last received data, and whether bytes wait unread; unknown if the kernel cannot say."""
    if sock is None or sock.fileno() < 0:
        return NO_CONFIRMATION
    try:
        waiting = bytearray(4)
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, waiting)
        unread = reading_paused or struct.unpack("i", waiting)[0] > 0
        if sys.platform != "linux":
            return Confirmation(None, unread)
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
    except OSError:
        return NO_CONFIRMATION
    (idle,) = struct.unpack_from("I", info, _LAST_DATA_RECV)
    return Confirmation(now - idle * 1000, unread)


def abort_transport(transport: Transport) -> None:
    """Abort, and let the kernel discard what was not sent: a frozen peer would never fetch it."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
