"""The shim in an aiohttp service.

shim = Shim(settings, rollout.evaluate)
app.cleanup_ctx.append(shim.lifespan)

async def handler(request):
    websocket = shim.websocket()
    await websocket.prepare(request)
    async with shim.register_app_connection(websocket, user, session, package) as connection:
        async for message in connection:
            ...
    return websocket
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeAlias

from aiohttp import web

from shim.aio.connection import LiveConnection
from shim.aio.websocket import WebSocket
from shim.compare import Comparator, ExpectedRules, Outcomes
from shim.driver import CpuMeter, Driver
from shim.driver.driver import clock
from shim.flags import Evaluation
from shim.model import Closing, Connection, Kind, Time, seconds
from shim.observers import Fanout
from shim.router import Monitors, Observer, Router, Tracked
from shim.sessions import Session
from shim.settings import Settings

log = logging.getLogger("shim")
UserSession: TypeAlias = Session[LiveConnection]


class Shim:
    """Runs the monitors over the connections of one aiohttp application."""

    clock: Callable[[], Time] = staticmethod(clock)

    def __init__(
        self,
        settings: Settings,
        evaluate: Callable[[str], Evaluation],
        observers: Sequence[Observer] = (),
    ) -> None:
        self.settings = settings
        self.sessions: dict[str, UserSession] = {}
        self.observer = Fanout(observers)
        self.driver = Driver()
        self._evaluate = evaluate
        self._ids = count(1)
        self.draining = False
        comparison, monitors = settings.comparison, settings.monitors
        control, candidate = monitors.control, monitors.candidate
        self.expected = ExpectedRules(comparison.expected, datetime.now(UTC).date())
        self.router = Router(
            Monitors(
                None if control is None else (control.type, control.settings),
                (candidate.type, candidate.settings),
            ),
            Comparator(
                tolerance=comparison.tolerance, window=comparison.window, expected=self.expected
            ),
            Outcomes(comparison.return_window),
            self.observer,
            clock(),
            CpuMeter(monitors.call_limit),
        )

    async def lifespan(self, app: web.Application) -> AsyncIterator[None]:
        """For `app.cleanup_ctx`: start with the application, and go with it."""
        self.driver.start(self.router)
        app.on_shutdown.append(self._on_shutdown)
        yield
        self.driver.stop()
        self.router.shutdown(clock())

    async def _on_shutdown(self, app: web.Application) -> None:
        await self.drain(seconds(self.settings.server.drain))

    def websocket(self, **options: Any) -> WebSocket:
        """A WebSocket that can be registered; options as for `web.WebSocketResponse`."""
        return WebSocket(clock, self.driver.call_at, **options)

    # -- Registration -----------------------------------------------------------------------------

    def register_glasses_connection(
        self, websocket: WebSocket, user: str, session: str
    ) -> LiveConnection:
        """Watch the connection of a user's glasses. Call it when `websocket` is prepared."""
        live = self._register(websocket, Kind.GLASSES, user, session, None)
        log.info("[User: %s] Glasses connection registered", user)
        return live

    def register_app_connection(
        self, websocket: WebSocket, user: str, session: str, package: str
    ) -> LiveConnection:
        """Watch an app's connection in a user's session. Call it when `websocket` is prepared."""
        live = self._register(websocket, Kind.APP, user, session, package)
        log.info("[User: %s] App connection registered: %s", user, package)
        return live

    def _register(
        self, websocket: WebSocket, kind: Kind, user: str, session_id: str, package: str | None
    ) -> LiveConnection:
        session = self.sessions.get(session_id)
        if session is None:
            session = self.sessions[session_id] = Session(session_id, user)
        connection = Connection(f"c{next(self._ids)}", kind, user, session_id, package)
        live = LiveConnection(self, websocket, connection, session)
        session.open += 1
        older = session.adopt(live)
        if older is not None:
            older.close_by_application(1000, "replaced by a newer connection")
        now, evaluation = clock(), self._evaluate(user)
        live.tracked = tracked = self.router.open(
            connection, live, now, evaluation.stage, by_percentage=evaluation.by_percentage
        )
        self.observer.opened(connection, evaluation, tracked.stage, tracked.acting, now)
        live.touch = self.router.touch(live.tracked, clock)
        self.driver.hurry()
        return live

    # -- What live connections report -------------------------------------------------------------

    def pong(self, tracked: Tracked, payload: bytes) -> None:
        self.router.pong(tracked, payload, clock())

    def data(self, tracked: Tracked) -> None:
        self.router.data(tracked, clock())

    def spoke_after_close(self, tracked: Tracked) -> None:
        self.router.spoke_after_close(tracked, clock())

    def gone(self, live: LiveConnection) -> None:
        """The connection ended, or begins to, for a cause that is no monitor's."""
        live.session.forget(live)
        if live.tracked.connection.id in self.router:
            self.router.close(live.tracked, clock())

    def released(self, live: LiveConnection) -> None:
        """The socket has ended; with its last socket a session ends."""
        session = live.session
        session.open -= 1
        if not session.open and self.sessions.get(session.id) is session:
            del self.sessions[session.id]
            self.router.session_ended(session.id)
        assert live.cause is not None
        sent = live.websocket.close_sent
        closing = Closing(
            live.connection,
            live.tracked.opened_at,
            clock(),
            live.cause,
            None if sent is None else sent[0],
            live.websocket.close_received or 1006,
        )
        log.info(
            "[User: %s] %s connection ended: %s (cause %s, close code intended %s, observed %s)",
            closing.connection.user,
            closing.connection.kind.value.capitalize(),
            closing.connection.package or "unknown",
            closing.cause,
            closing.intended,
            closing.observed,
        )
        self.observer.closed(closing)

    # -- Shutdown ---------------------------------------------------------------------------------

    async def drain(self, over: float) -> None:
        """Close everyone with 1012, spread over so many seconds, and abort who does not go."""
        self.draining = True
        lives = [live for session in self.sessions.values() for live in session.members()]
        if not lives:
            return
        steps = max(1, min(len(lives), round(over * 20)))
        for step in range(steps):
            for live in lives[step::steps]:
                live.close_by_application(1012, "the service restarts")
            await asyncio.sleep(over / steps)
        for live in lives:
            live.websocket.abort()
