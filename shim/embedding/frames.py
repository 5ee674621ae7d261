"""Frames of the `websockets` library, as every server built on its protocol reads them.

Rules: docs/design.md#r14b.
"""

from typing import Any

from websockets.frames import Opcode
from websockets.protocol import Protocol

from shim.runtime.live_connection import LiveConnection

_CONT, _TEXT, _BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
_PING, _PONG = Opcode.PING, Opcode.PONG


def see_frame(live: LiveConnection, frame: Any) -> None:
    """Tell the live connection of a frame that was read."""
    opcode = frame.opcode
    if opcode is _TEXT or opcode is _BINARY or opcode is _CONT:
        live.touch(live.tracked)
    elif opcode is _PONG:
        live.saw_pong(bytes(frame.data))
    elif opcode is _PING:
        live.saw_ping()
    else:
        live.saw_close()


def close_codes(protocol: Protocol) -> tuple[int | None, int | None]:
    """The codes of the close frames that were sent and that came; an echo of the peer's is not counted."""
    sent, received = protocol.close_sent, protocol.close_rcvd
    intended = None if sent is None or protocol.close_rcvd_then_sent else int(sent.code)
    return intended, None if received is None else int(received.code)
