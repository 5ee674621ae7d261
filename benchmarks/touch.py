"""The per-message call, with both monitors watching, against one dict store with a clock read.

And a message on its way through aiohttp: its own reader and queue with that call made by the handler, against
the shim's queue, which makes the call as the frame is read.
"""

import asyncio
from collections.abc import Callable
from statistics import median
from time import monotonic, perf_counter_ns
from typing import Any

from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader

from benchmarks.setting import NullPort, make_router
from shim.aio.frame_queue import FrameQueue
from shim.model import Connection, Kind, Stage
from shim.router import Tracked
from shim.runtime.driver import TICKS, Driver, clock, ticks

CALLS = 200_000
ROUNDS = 15
BATCH = 100
"""Messages that are read from the transport at once."""

Touch = Callable[[Tracked], None]


def run() -> None:
    router = make_router(clock())
    tracked = router.open(
        Connection("c1", Kind.APP, "u1", "s1", "com.example.app1"),
        NullPort(),
        clock(),
        Stage.SHADOW,
    )
    touch = router.make_touch(ticks, TICKS, Driver(router))
    last_seen: dict[str, float] = {}

    def dict_store(tracked: Tracked) -> None:
        last_seen["c1"] = monotonic()

    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(_time(dict_store, tracked))
        ours.append(_time(touch, tracked))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"touch, both monitors: {median(ours):.0f} ns; one dict store with a clock read: "
        f"{median(theirs):.0f} ns; ratio {ratio:.2f} (goal: at most 2)"
    )
    asyncio.run(_through_aiohttp(touch, tracked))


async def _through_aiohttp(touch: Touch, tracked: Tracked) -> None:
    loop = asyncio.get_running_loop()
    watched = FrameQueue(_Open(), _Protocol(), 1 << 16, loop=loop)
    watched.listener = _Listener(touch, tracked)  # type: ignore[assignment]
    ours, theirs = [], []
    for _ in range(ROUNDS):
        bare = WebSocketDataQueue(_Protocol(), 1 << 16, loop=loop)  # type: ignore[arg-type]
        theirs.append(await _time_messages(bare, touch, tracked))
        ours.append(await _time_messages(watched, None, tracked))
    print(
        f"a message through aiohttp's reader and queue, with touch: {median(ours):.0f} ns where frames are "
        f"read; {median(theirs):.0f} ns with aiohttp's queue and touch by the handler"
    )


async def _time_messages(queue: Any, touch: Touch | None, tracked: Tracked) -> float:
    reader = WebSocketReader(queue, 1 << 20, compress=False, decode_text=True)
    frames = b"\x81\x8a\x00\x00\x00\x000123456789" * BATCH
    started = perf_counter_ns()
    for _ in range(CALLS // 10 // BATCH):
        reader.feed_data(frames)
        for _ in range(BATCH):
            await queue.read()
            if touch is not None:
                touch(tracked)
    return (perf_counter_ns() - started) / (CALLS // 10)


class _Open:
    """The WebSocket of the queue."""

    close_sent: tuple[int, str] | None = None

    def ignore(self, size: int) -> None: ...

    def control_frame(self, kind: int, payload: bytes) -> bool:
        return False

    def peer_closed(self, code: int) -> None: ...

    def transport_ended(self) -> None: ...


class _Protocol:
    _reading_paused = False


class _Listener:
    """A live connection, as far as messages are concerned."""

    def __init__(self, touch: Touch, tracked: Tracked) -> None:
        self.touch = touch
        self.tracked = tracked

    def saw_pong(self, payload: bytes) -> None: ...

    def saw_ping(self) -> None: ...

    def saw_close(self) -> None: ...

    def release(self) -> None: ...


def _time(call: Touch, tracked: Tracked) -> float:
    started = perf_counter_ns()
    for _ in range(CALLS):
        call(tracked)
    return (perf_counter_ns() - started) / CALLS
