"""What the kernel knows of a connection's socket: round trip, bytes, repetitions. It costs no counter."""

import socket
import struct
import sys
from typing import Any

from shim.console.api.schemas import SocketAnswer

_RTT = 68
"""Offsets in Linux's `struct tcp_info`, whose fields only ever are added at its end."""
_TOTAL_RETRANS = 100
_BYTES_ACKED = 120
_SIZE = 136


def socket_health(transport: Any) -> SocketAnswer | None:
    """None where it cannot be known: the socket is gone, or this is no Linux."""
    sock: socket.socket | None = transport and transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux":
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:
        return None
    if len(info) < _SIZE:
        return None
    round_trip, jitter = struct.unpack_from("II", info, _RTT)
    (repeated,) = struct.unpack_from("I", info, _TOTAL_RETRANS)
    sent, received = struct.unpack_from("QQ", info, _BYTES_ACKED)
    return SocketAnswer(
        round_trip=round_trip / 1e6,
        jitter=jitter / 1e6,
        bytes_received=received,
        bytes_sent=sent,
        retransmitted=repeated,
    )
