"""What the kernel knows about a peer (R3b: docs/design.md#r3b); asked only before a decision."""

import fcntl
import socket
import struct
import sys
import termios

from shim.model import Confirmation, Time
from shim.router import NO_CONFIRMATION

_LAST_DATA_RECV = 52
"""Offset of `tcpi_last_data_recv`, milliseconds, in Linux's `struct tcp_info`."""


def evidence(sock: socket.socket | None, now: Time, reading_paused: bool) -> Confirmation:
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
