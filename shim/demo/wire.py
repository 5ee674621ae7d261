"""A WebSocket client that can stop reading: RFC 6455 over a socket, as far as the demo needs it.

aiohttp's client reads whatever comes; to leave bytes in the kernel one has to hold the transport.
"""

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_RECEIVE_BUFFER = 4096


class WireClient:
    """One connection; `receive` answers pings unless told otherwise."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = bytearray()

    @classmethod
    async def connect(
        cls, host: str, port: int, path: str, headers: Mapping[str, str]
    ) -> "WireClient":
        """Connect and shake hands. Raises ConnectionError if the server refuses."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        client = cls(reader, writer)
        try:
            await client._shake_hands(host, port, path, headers)
        except BaseException:
            client.cut()
            raise
        return client

    async def _shake_hands(
        self, host: str, port: int, path: str, headers: Mapping[str, str]
    ) -> None:
        lines = {
            "Host": f"{host}:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        request = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(f"GET {path} HTTP/1.1\r\n{request}\r\n".encode())
        try:
            answer = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the server hung up during the handshake") from error
        status = answer.split(b"\r\n", 1)[0].decode()
        if " 101 " not in f"{status} ":
            raise ConnectionError(f"no upgrade: {status}")

    def send(self, body: Mapping[str, Any]) -> None:
        """Send a message."""
        self._write(_TEXT, json.dumps(body).encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + struct.pack("!H", size)
        self._writer.write(bytes((0x80 | opcode,)) + length + mask + masked)

    async def receive(self) -> dict[str, Any] | None:
        """The next message; pings are answered. None: the connection ended, see `ending`."""
        while (frame := await self._frame()) is not None:
            opcode, payload = frame
            if opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _TEXT:
                body: dict[str, Any] = json.loads(payload)
                return body
            elif opcode == _CLOSE:
                return None
        return None

    async def ending(self) -> int:
        """Read to the end and answer nothing: the close code that came, 1006 if none did."""
        code = 1006
        while (frame := await self._frame()) is not None:
            opcode, payload = frame
            if opcode == _CLOSE:
                code = struct.unpack_from("!H", payload)[0] if len(payload) >= 2 else 1005
        return code

    async def _frame(self) -> tuple[int, bytes] | None:
        """The next frame, None at the end; to cancel it loses nothing."""
        while (frame := _take_frame(self._received)) is None:
            try:
                data = await self._reader.read(4096)
            except ConnectionError:
                return None
            if not data:
                return None
            self._received += data
        return frame

    def freeze(self) -> None:
        """Read nothing any more: what arrives stays in the kernel, until its buffer is full."""
        self._transport.pause_reading()

    def thaw(self) -> None:
        """Read again, what has arrived meanwhile first."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def leave(self) -> None:
        """Close properly, with 1000, without waiting for the answer."""
        self._write(_CLOSE, struct.pack("!H", 1000))
        self._writer.close()

    def cut(self) -> None:
        """End the connection, now."""
        self._transport.abort()


def _take_frame(received: bytearray) -> tuple[int, bytes] | None:
    """Cut a frame of a server, unmasked and whole, off the bytes; None: it is not all there."""
    if len(received) < 2:
        return None
    length, start = received[1] & 0x7F, 2
    if length >= 126:
        start = 4 if length == 126 else 10
        if len(received) < start:
            return None
        length = int.from_bytes(received[2:start], "big")
    end = start + length
    if len(received) < end:
        return None
    frame = received[0] & 0x0F, bytes(received[start:end])
    del received[:end]
    return frame
