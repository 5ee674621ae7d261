"""The reference server on its listeners, and how it stops.

aiohttp stops reading before it tells an application to shut down. So everyone is sent away first, while
the server still accepts and reads, and then aiohttp cleans up.
"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from shim.console.runner import runner_of
from shim.model import InputError
from shim.server.app import make_app
from shim.server.house import House

_BACKLOG = 1024
_SHUTDOWN = 5.0
"""Seconds that requests get to end when everyone has been sent away."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; an address that cannot be had is an InputError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    except OSError as error:
        # Its own words name the address, too.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot listen on {host}:{port}: {reason}") from None


def url_of(listener: socket.socket) -> str:
    address, port = listener.getsockname()[:2]
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


@asynccontextmanager
async def serving(
    house: House, listener: socket.socket, console: socket.socket | None = None
) -> AsyncIterator[None]:
    """Serve for as long as it lasts, the console on a listener of its own if there is one."""
    runner = runner_of(make_app(house, console), _SHUTDOWN)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=_BACKLOG).start()
        yield
        await house.shim.drain()
    finally:
        await runner.cleanup()


def serve_until_told(
    house: House,
    listener: socket.socket,
    console: socket.socket | None = None,
    *,
    ready: Callable[[], None],
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Serve until SIGTERM or SIGINT; a second one does not wait for who is being sent away."""

    async def serve() -> None:
        with _told_to_stop() as told:
            async with serving(house, listener, console):
                ready()
                await told.wait()

    with asyncio.Runner(loop_factory=new_event_loop) as runner, suppress(asyncio.CancelledError):
        runner.run(serve())


@contextmanager
def _told_to_stop() -> Iterator[asyncio.Event]:
    """Set by the first signal. The second cancels the task, a third does what it does by default."""
    loop, task, told = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None
    numbers = (signal.SIGINT, signal.SIGTERM)

    def release() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)

    def on_signal() -> None:
        if told.is_set():
            release()
            task.cancel()
        told.set()

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield told
    finally:
        release()
