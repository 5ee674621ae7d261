"""What is read of Linux's `struct tcp_info`."""

import struct

from shim.model.tcp_fields import RTT, idle_time


def test_how_long_no_data_has_come() -> None:
    """Eight bytes, and then numbers of 32 bits: the twelfth is `tcpi_last_data_recv`, the 16th `tcpi_rtt`."""
    info = struct.pack("8B", *range(8)) + struct.pack("15I", *range(100, 115))
    assert len(info) == RTT
    assert idle_time(info) == 111_000
