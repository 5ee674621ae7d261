"""The shim as a service embeds it: the coordinator, everything around it, and the console."""

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from os import PathLike
from pathlib import Path
from typing import Generic, Self, TypeVar

from aiohttp import web
from yarl import URL

from shim.console import Operations, console_app, serve_console
from shim.console.access.login_sessions import Logins
from shim.console.listener import console_socket, url_of
from shim.flags.evaluation import Evaluation
from shim.flags.targeting import Targeting
from shim.model import Connection, Kind
from shim.model.visible_text import describe_id
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer
from shim.runtime.assembly import Assembly
from shim.runtime.coordinator import Coordinator
from shim.runtime.live_connection import LiveConnection
from shim.runtime.secrets import Secrets
from shim.runtime.sessions import Session
from shim.settings.settings import Settings, load_settings

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a service listens that listens at every address, and where this machine reaches it."""

W = TypeVar("W")
L = TypeVar("L", bound=LiveConnection)


class EmbeddedShim(Coordinator[L], Generic[W, L]):
    """The base class of each library's `Shim`: `W` is the library's WebSocket, `L` the live connection.

    `Shim.open` gives the whole product. `Shim(settings, evaluate)` runs the monitors and nothing else: it is
    for services that put the parts together themselves.
    """

    def __init__(
        self,
        settings: Settings,
        evaluate: Callable[[str], Evaluation],
        observers: Sequence[Observer] = (),
        *,
        assembly: Assembly | None = None,
        logins: Logins | None = None,
    ) -> None:
        """`evaluate` gives a user's stage (`Targeting.evaluate`); it is asked at each registration."""
        name_in_log = describe_id if assembly is None else assembly.name_in_log
        super().__init__(
            settings,
            evaluate,
            observers,
            name_in_log=name_in_log,
            in_fleet=assembly is not None and settings.in_fleet,
        )
        self._assembly = assembly
        self._end: AsyncExitStack | None = None
        self.logins = Logins(self.clock) if logins is None else logins
        """Who is logged in to the console."""
        self.console_url: str | None = None
        """Where the console's own listener is, while it serves; None: the settings name none."""

    @classmethod
    def open(
        cls,
        settings: Settings | str | PathLike[str] | None,
        *,
        secrets: Secrets | None = None,
        observers: Sequence[Observer] = (),
        capture: Path | None = None,
        targeting: Targeting | None = None,
        promote: bool = False,
        logins: Logins | None = None,
    ) -> Self:
        """The whole product, from a settings file: `Shim.open("config/shim.yaml")`.

        Files are read here and nothing is opened, so that a module may call it where it is imported. The
        ledger, the traces and the rest begin where the service starts, and end with the service.

        Args:
            settings: the path of the settings file, settings that were read, or None for all defaults.
            secrets: instead of those in the environment (`SHIM_OPERATOR_TOKEN`, `SHIM_HASH_KEY`).
            observers: get the rare events, like the plugins.
            capture: the capture files are named after this path, instead of `capture.file`.
            targeting: in force instead of the flags file.
            promote: take the steps of the plan, whatever `promotion.auto` says.
            logins: those of an earlier shim in this process; None: nobody is logged in to the console.

        Raises:
            InputError: with every problem of the settings or the flags file by file, line and key; or with
                the secrets that are missing.
        """
        plugins = plugin_manager()
        if not isinstance(settings, Settings):
            path = None if settings is None else Path(settings)
            settings = load_settings(path, monitor_types(plugins))
        assembly = Assembly(
            settings,
            Secrets.from_environment() if secrets is None else secrets,
            plugins,
            observers=observers,
            capture=capture,
            targeting=targeting,
            promote=promote,
        )
        return cls(
            settings,
            assembly.evaluate,
            assembly.first_observers,
            assembly=assembly,
            logins=logins,
        )

    @abstractmethod
    def connector(self, websocket: W) -> Callable[[Connection, Session[L]], L]:
        """Makes the live connection of this WebSocket; raises an error if it cannot be watched."""

    def register_glasses_connection(
        self, websocket: W, user: str, session: str, *, instance: str | None = None
    ) -> L:
        """Watch the connection of a user's glasses.

        An older connection of the same identity is closed with 1000. `instance` is part of the identity: name
        it where a user has two of a kind side by side, and use the same name when the client comes back.

        Raises RuntimeError before the shim was started, and for a WebSocket that is not prepared (aiohttp)
        or not accepted (ASGI); TypeError for a WebSocket of a server that does not know the shim.
        """
        connect = self.connector(websocket)
        self.driver.check_started()
        return self.register(connect, Kind.GLASSES, user, session, None, instance)

    def register_app_connection(
        self,
        websocket: W,
        user: str,
        session: str,
        package: str,
        *,
        instance: str | None = None,
        counted: bool = True,
    ) -> L:
        """Watch an app's connection in a user's session. `instance`, errors: `register_glasses_connection`.

        Not `counted`: the app alone says that there is such a user. What happens to the session's connections
        is then shown, and is no evidence for the gate and the brake, until another connection of the session
        is registered as `counted`.
        """
        connect = self.connector(websocket)
        self.driver.check_started()
        return self.register(connect, Kind.APP, user, session, package, instance, counted=counted)

    @property
    def assembly(self) -> Assembly:
        """What `open` put around the monitors. Raises RuntimeError for `Shim(settings, evaluate)`."""
        if self._assembly is None:
            raise RuntimeError("this shim was put together from parts: Shim.open has the rest")
        return self._assembly

    @property
    def operations(self) -> Operations:
        """What the console sees and changes. Raises RuntimeError for `Shim(settings, evaluate)`."""
        return Operations(self, self.assembly, self.logins)

    def login_link(self, url: str) -> str:
        """A link that logs one operator in to the console at this address, once, within an hour.

        `console.base_path` comes before the path of the address.
        """
        at = URL(url)
        if at.host in _ANY_ADDRESS:  # a browser cannot ask every address at once
            at = at.with_host(_ANY_ADDRESS[at.host])
        path = f"{self.settings.console.base_path or ''}{at.raw_path.rstrip('/')}/login"
        return str(at.with_path(path, encoded=True).with_query(code=self.logins.issue_code()))

    def console(self) -> web.Application:
        """The dashboard, the API, the metrics and the health checks, for `app.add_subapp(prefix, …)`.

        Without a prefix the console is the outermost application: add the service's own routes to it.
        """
        return console_app(self.operations)

    async def __aenter__(self) -> Self:
        """Watch as long as the context lasts; at its end everyone is sent away with 1012."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.running())
            stack.push_async_callback(self.drain)
            self._end = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        end, self._end = self._end, None
        if end is not None:
            await end.aclose()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Watch, record and serve the console's own listener as long as the context lasts.

        Raises InputError where an address or a file that the settings name cannot be used; then nothing
        stays open.
        """
        if self._assembly is None:
            self.start()
            try:
                yield self
            finally:
                self.stop()
            return
        async with AsyncExitStack() as stack:
            # An address may be taken: that is found out before there is a ledger.
            listener = stack.enter_context(console_socket(self.settings))
            await stack.enter_async_context(self._assembly.running(self))
            if listener is not None:
                await stack.enter_async_context(serve_console(self.operations, listener))
                self.console_url = url_of(listener)
            try:
                yield self
            finally:
                self.console_url = None
