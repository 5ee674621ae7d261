"""Where Linux's `struct tcp_info` has the fields that the shim reads, in bytes from its begin.

The kernel only ever adds fields, at the end. Of an older one the struct is shorter.
"""

import struct

from shim.model.time import Duration

LAST_DATA_RECV = 52
"""`tcpi_last_data_recv`: milliseconds, 32 bits."""

RTT = 68
"""`tcpi_rtt`, and behind it `tcpi_rttvar`: microseconds, 32 bits each."""

TOTAL_RETRANS = 100
"""`tcpi_total_retrans`: segments, 32 bits."""

BYTES_ACKED = 120
"""`tcpi_bytes_acked`, and behind it `tcpi_bytes_received`: 64 bits each."""


def idle_time(info: bytes) -> Duration:
    """How long no data has come, in microseconds, of a struct that reaches as far as `RTT` at least."""
    (milliseconds,) = struct.unpack_from("I", info, LAST_DATA_RECV)
    return int(milliseconds) * 1000
