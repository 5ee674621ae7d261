"""The service of the demo: the reference server in this process, which can be restarted as a deploy does."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from socket import socket
from typing import Any

from shim.aio import Shim
from shim.console.access.login_sessions import Logins
from shim.console.listener import listen, url_of
from shim.demo.client_history import ClientHistory
from shim.demo.client_process import ClientProcess, client_process
from shim.flags.targeting import Targeting
from shim.model import Stage
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer
from shim.runtime.driver import clock
from shim.runtime.secrets import Secrets
from shim.server.serving import serving
from shim.settings.settings import settings_from

_HOST = "127.0.0.1"


class DemoService:
    """The service; `demo_service` makes one. `shim` is another one after each restart."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        observers: Sequence[Observer],
        flags: Path | Targeting,
        listener: socket,
    ) -> None:
        self._observers = observers
        self._flags = flags
        self._listener = listener
        self._running = AsyncExitStack()
        self.url = url_of(listener)
        """Without a slash at the end."""
        self.secrets = Secrets(
            jwt_secret=secrets.token_hex(32),
            operator_token=secrets.token_hex(16),
            hash_key=secrets.token_hex(32),
            dev=True,
        )
        # A restart logs nobody out.
        self._logins = Logins(clock)
        self.shim = self._open(settings)

    def _open(self, settings: Mapping[str, Any]) -> Shim:
        read = settings_from(settings, monitor_types(plugin_manager()), "the demo's settings")
        targeting = None
        if isinstance(self._flags, Path):
            read = read.model_copy(update={"rollout": self._flags})
        else:
            targeting = self._flags
        return Shim.open(
            read,
            secrets=self.secrets,
            observers=self._observers,
            targeting=targeting,
            logins=self._logins,
        )

    async def start(self) -> None:
        # The server closes its own listener; the kernel lets clients wait while this one is open.
        await self._running.enter_async_context(serving(self.shim, self._listener.dup()))

    async def restart(self, settings: Mapping[str, Any]) -> None:
        """Restart with other settings, as a deploy does."""
        await self.stop()
        self.shim = self._open(settings)
        await self.start()

    async def stop(self) -> None:
        """Send everybody away and stop, as the reference server does."""
        await self._running.aclose()

    def login_link(self) -> str:
        """A link that logs one operator in to the console, once."""
        return self.shim.login_link(self.url)

    def clients(
        self, histories: Sequence[ClientHistory], factor: float
    ) -> AbstractAsyncContextManager[ClientProcess]:
        """Inside the context a process runs these clients of the service."""
        return client_process(
            histories, urls=[self.url], factor=factor, jwt_secret=self.secrets.jwt_secret
        )

    def open_connections(self) -> list[tuple[str, Stage]]:
        """The user and the stage of each connection that no monitor has closed."""
        return [
            (tracked.connection.user, tracked.stage)
            for tracked in self.shim.router.connections()
            if tracked.closed_by is None
        ]

    @property
    def brake_reason(self) -> str | None:
        """Why the brake is engaged; None: it is not."""
        return self.shim.router.brake_reason


@asynccontextmanager
async def demo_service(
    settings: Mapping[str, Any],
    observers: Sequence[Observer],
    flags: Path | Targeting,
    port: int = 0,
) -> AsyncIterator[DemoService]:
    """The reference server with these settings, and with random secrets.

    `flags` is the flags file, or flags that never change. Port 0 is any free port. Raises InputError,
    also if the server cannot listen on the port.
    """
    with listen(_HOST, port) as listener:
        service = DemoService(settings, observers, flags, listener)
        try:
            await service.start()
            yield service
        finally:
            await service.stop()
