"""What is read of Linux's `struct tcp_info`."""

import ctypes
import struct

from shim.model.tcp_fields import BYTES_ACKED, LAST_DATA_RECV, RTT, TOTAL_RETRANS, idle_time

WORDS = """unacked sacked lost retrans fackets
    last_data_sent last_ack_sent last_data_recv last_ack_recv
    pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering
    rcv_rtt rcv_space total_retrans"""
LONG_WORDS = "pacing_rate max_pacing_rate bytes_acked bytes_received"


class TcpInfo(ctypes.Structure):
    """The begin of the struct in the kernel's `linux/tcp.h`, where each field has its own alignment."""

    _fields_ = (
        *(
            (name, ctypes.c_uint8)
            for name in ["state", "ca_state", "retransmits", "probes", "options"]
        ),
        *((name, ctypes.c_uint8) for name in ("wscale", "limits")),
        *((name, ctypes.c_uint32) for name in f"rto ato snd_mss rcv_mss {WORDS}".split()),
        *((name, ctypes.c_uint64) for name in LONG_WORDS.split()),
    )


def test_where_the_kernel_has_its_fields() -> None:
    assert TcpInfo.last_data_recv.offset == LAST_DATA_RECV
    assert TcpInfo.rtt.offset == RTT
    assert TcpInfo.total_retrans.offset == TOTAL_RETRANS
    assert TcpInfo.bytes_acked.offset == BYTES_ACKED


def test_how_long_no_data_has_come() -> None:
    """Eight bytes, and then numbers of 32 bits: the twelfth is `tcpi_last_data_recv`, the 16th `tcpi_rtt`."""
    info = struct.pack("8B", *range(8)) + struct.pack("15I", *range(100, 115))
    assert len(info) == RTT
    assert idle_time(info) == 111_000
