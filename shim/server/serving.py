"""The reference server: the shim as any service embeds it, its listener, and how it stops.

aiohttp stops reading before it tells an application to shut down. So every connection is closed
first, while the server still accepts and reads, and then aiohttp cleans up.
"""

import asyncio
import errno
import logging
import math
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from shim.aio import Shim
from shim.console import add_health
from shim.console.listener import serve_app
from shim.server.auth import Gatekeeper
from shim.server.sockets import Sockets

log = logging.getLogger(__name__)

_SHUTDOWN = 5.0
"""Seconds; the longest wait for running requests after every connection was closed."""

_SILENCE = 60.0
"""Seconds between two lines that say that no file descriptor is left."""

_CLIENTS_OWN = (HttpProcessingError, web.RequestPayloadError)


def make_app(shim: Shim) -> web.Application:
    """The reference server as an aiohttp application.

    The console (dashboard, API, metrics) is on it, too, unless it has a listener of its own.
    """
    if shim.settings.console_address is None:
        app = shim.console()
    else:
        app = web.Application()
        add_health(app, shim.operations)
    app.cleanup_ctx.append(shim.lifespan)
    gatekeeper = Gatekeeper(shim.assembly.secrets, shim.settings.server)
    sockets = Sockets(shim, gatekeeper)
    app.router.add_get("/glasses-ws", sockets.glasses)
    app.router.add_get("/app-ws", sockets.apps)
    return app


@asynccontextmanager
async def serving(shim: Shim, listener: socket.socket) -> AsyncIterator[None]:
    """Serve as long as the context lasts."""
    with _bad_http_in_a_line():
        async with serve_app(make_app(shim), listener, _SHUTDOWN):
            yield
            await shim.drain()


def serve_until_signal(
    shim: Shim,
    listener: socket.socket,
    *,
    ready: Callable[[], None],
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a second signal does not wait for the closing connections."""

    async def serve() -> None:
        asyncio.get_running_loop().set_exception_handler(LoopErrors().handle)
        with _stop_signals() as stopped:
            async with serving(shim, listener):
                ready()
                await stopped.wait()

    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(asyncio.CancelledError):
        runner.run(serve())


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that the first signal sets. The second signal cancels the task; a third does its default."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)

    def release() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    def on_signal() -> None:
        if stopped.is_set():
            release()
            task.cancel()
        stopped.set()

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopped
    finally:
        release()


class LoopErrors:
    """Reports errors of the event loop; that no file descriptor is left is one line in a minute."""

    def __init__(self) -> None:
        self._silent_until = -math.inf

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() >= self._silent_until:
            self._silent_until = loop.time() + _SILENCE
            log.error(
                "no new connection can be accepted: %s; they wait (raise the limit: ulimit -n)",
                error.strerror,
            )


@contextmanager
def _bad_http_in_a_line() -> Iterator[None]:
    """Bytes that are not HTTP are a mistake of the client: one line in the log, without a traceback.

    aiohttp itself would log such errors like errors of the server's handlers.
    """
    logger = logging.getLogger("aiohttp.server")
    logger.addFilter(_shorten)
    try:
        yield
    finally:
        logger.removeFilter(_shorten)


def _shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, _CLIENTS_OWN):
        # The message quotes what the client sent, which may be a token.
        record.args = (record.getMessage(), type(error).__name__)
        record.msg = "%s: bad HTTP (%s)"
        record.exc_info = None
        record.levelno = min(record.levelno, logging.WARNING)
        record.levelname = logging.getLevelName(record.levelno)
    return True
