"""The console on a listener of its own (`console` in the settings), and how any listener is run."""

import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from shim.console.console_app import console_app
from shim.console.operations import Operations
from shim.model import InputError
from shim.settings.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 1024
"""New connections that the kernel keeps until the event loop accepts them."""

_ACCEPTED_AT_ONCE = 1
"""New connections that asyncio accepts in one step of its loop. Without a free file descriptor asyncio fails
and logs an error for each of them, every second, and tries each of them again later, all of them together."""

KEEPALIVE = 75.0
"""Seconds in which the next request must come, as in `web.run_app`; a runner's own default is an hour."""

_SHUTDOWN = 2.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. Raises InputError for an address that cannot be used."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except socket.gaierror as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    except OSError as error:
        # The error's own text names the address, too.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"cannot listen on {host}:{port}: {reason}") from None


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket, as a URL without a path."""
    address, port = listener.getsockname()[:2]
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


@asynccontextmanager
async def serve_app(
    app: web.Application, listener: socket.socket, shutdown_timeout: float
) -> AsyncIterator[None]:
    """Serve as long as the context lasts, and then wait so many seconds for running requests at most."""
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=shutdown_timeout, keepalive_timeout=KEEPALIVE
    )
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=_ACCEPTED_AT_ONCE).start()
        listener.listen(BACKLOG)
        yield
    finally:
        await runner.cleanup()


@contextmanager
def console_socket(settings: Settings) -> Iterator[socket.socket | None]:
    """The socket of the console's own listener; None: the settings name none. Raises InputError."""
    address = settings.console_address
    if address is None:
        yield None
        return
    if settings.server.admin is not None:
        log.warning(
            "`server.admin` is an older name: the section `console` has the host and the port"
        )
    with settings.origin.of(*address.key):
        listener = listen(address.host, address.port)
    with listener:
        yield listener


@asynccontextmanager
async def serve_console(operations: Operations, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the console on this socket as long as the context lasts."""
    async with serve_app(console_app(operations), listener, _SHUTDOWN):
        log.info("console on %s", url_of(listener))
        yield
