"""A line between a process and its store that can be cut, slow, silent, or break at a chosen point."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import Any

_READY = b"Z\0\0\0\5I"
"""The server waits for the next statement."""

_RESET = struct.pack("ii", 1, 0)
"""With this a closed socket sends a reset, and no orderly end."""


class BreakPoint(Enum):
    """Where the line breaks."""

    IN_COPY = "in the middle of the rows"
    BEFORE_COMMIT = "the store never sees the commit"
    AFTER_COMMIT = "the process never sees the commit's answer"
    SILENT_AT_ROWS = "the line is silent after the statement that brings rows, or announces them"
    AFTER_LOGIN = "the line is silent as soon as the connection may be used"


class _Pair:
    """One connection of the process, and what became of it."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.has_lost = False
        """Something that was sent was swallowed: nothing that comes later makes sense to the other side."""
        self.copies = False
        self.drops_answer = False
        self.ended = asyncio.Event()

    def reset(self) -> None:
        for writer in (self.near, self.far):
            with suppress(OSError, AttributeError):
                opened: socket.socket = writer.get_extra_info("socket")
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class FaultyLine:
    """Passes on what it gets, as long as no test says otherwise.

    Attributes:
        port: where the process reaches its store.
        delay: seconds by which each piece comes later.
        silent: pieces are swallowed, and nobody is told; new connections are taken and stay silent.
        refuses: new connections are reset at once.
        breaks_at: where every connection is reset, or falls silent, until it is None.
        broken: how often that has happened.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._pairs: set[_Pair] = set()
        self._accepting: set[asyncio.Task[Any]] = set()
        self._lost: list[_Pair] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        self.silent = self.refuses = False
        self.breaks_at: BreakPoint | None = None
        self.broken = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for pair in self._pairs:
            pair.ended.set()
        self.cut()
        await asyncio.gather(*self._tasks, *self._accepting, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for pair in [*self._pairs]:
            pair.reset()

    def heal(self) -> None:
        """From now on everything is passed on; what was swallowed stays lost.

        The connections that had lost something when the line was mended before end now: the store has not room
        for ever more of them.
        """
        for pair in self._lost:
            pair.ended.set()
        self._lost = [pair for pair in self._pairs if pair.has_lost and not pair.ended.is_set()]
        self.delay, self.silent, self.refuses, self.breaks_at = 0.0, False, False, None

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        accepting = asyncio.current_task()
        assert accepting is not None
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        if self.refuses:
            near.transport.abort()
            return
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            near.transport.abort()
            return
        pair = _Pair(near, far)
        self._pairs.add(pair)
        both = (
            self._start(self._pass_on(pair, reader, far, self._watch_process)),
            self._start(self._pass_on(pair, answers, near, self._watch_store)),
        )
        await asyncio.wait(both)
        if pair.has_lost:
            # The store is told nothing of the end: it holds what the process held, as if that went on.
            await pair.ended.wait()
        pair.reset()
        self._pairs.discard(pair)

    def _start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _pass_on(
        self,
        pair: _Pair,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        watch: Callable[[_Pair, bytes], bytes],
    ) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sending = self._start(self._send(pair, pieces, sink))
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while piece := await source.read(65536):
                if self.silent or pair.has_lost:
                    pair.has_lost = True
                else:
                    pieces.put_nowait((clock() + self.delay, watch(pair, piece)))
        pieces.put_nowait((clock() + self.delay, b""))
        await sending

    async def _send(
        self,
        pair: _Pair,
        pieces: "asyncio.Queue[tuple[float, bytes]]",
        sink: asyncio.StreamWriter,
    ) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while True:
                due, piece = await pieces.get()
                if (wait := due - clock()) > 0:
                    await asyncio.sleep(wait)
                if not piece:
                    break
                sink.write(piece)
                await sink.drain()
        if not pair.has_lost:
            sink.close()

    def _watch_process(self, pair: _Pair, piece: bytes) -> bytes:
        match self.breaks_at:
            case BreakPoint.IN_COPY if pair.copies:
                self._break(pair)
                return piece[: len(piece) // 2]
            case BreakPoint.IN_COPY:
                pair.copies = b"COPY " in piece
            case BreakPoint.SILENT_AT_ROWS if b"COPY " in piece or b"INSERT INTO" in piece:
                pair.has_lost = True
                self.broken += 1
            case BreakPoint.BEFORE_COMMIT if b"COMMIT" in piece:
                self._break(pair)
                return b""
            case BreakPoint.AFTER_COMMIT if b"COMMIT" in piece:
                pair.drops_answer = True
        return piece

    def _watch_store(self, pair: _Pair, piece: bytes) -> bytes:
        if self.breaks_at is BreakPoint.AFTER_LOGIN and _READY in piece:
            pair.has_lost = True
            self.broken += 1
        if pair.drops_answer:
            self._break(pair)
            return b""
        return piece

    def _break(self, pair: _Pair) -> None:
        self.broken += 1
        # What was given to the other side before gets there.
        asyncio.get_running_loop().call_later(0.01, pair.reset)
