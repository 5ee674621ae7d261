"""The demo: a server here, a fleet in a second process, a view, and a summary that is checked."""

import asyncio
import logging
import secrets
import signal
import tempfile
import time
from collections import deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from rich.console import Console

from shim.demo.checks import Totals, judge, judge_report
from shim.demo.crew import Crew
from shim.demo.scenario import ROLLOUT, cast, settings_value
from shim.demo.story import Stories
from shim.demo.summary import Summary
from shim.demo.view import Scene, View
from shim.discovery import monitor_types, plugin_manager
from shim.model import InputError
from shim.server import House, Secrets, make_app, open_house
from shim.settings import parse_rollout, settings_from

_HOST = "127.0.0.1"
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    """`port` 0 is any free one."""

    seconds: float
    users: int
    factor: float
    port: int
    keep: bool


class LastLines(logging.Handler):
    """The shim's log: its last lines for the view, its errors for the summary."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=6)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.lines.append(line)
        if record.levelno >= logging.ERROR:
            self.errors.append(line)


def run(options: Options, console: Console) -> int:
    """Play the demo; answer its exit code."""
    return asyncio.run(_run(options, console))


async def _run(options: Options, console: Console) -> int:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shim-demo-"))
        settings = settings_from(
            settings_value(options.factor, f"{folder}/ledger.db"),
            monitor_types(plugin_manager()),
            "the demo's settings",
        )
        rollout = parse_rollout(ROLLOUT.encode(), "the demo's rollout")
        clients = cast(options.users, lambda user: rollout.evaluate(user).stage)
        stories = Stories(clients)
        keys = Secrets(
            jwt_secret=secrets.token_hex(32),
            operator_token=secrets.token_hex(32),
            hash_key=secrets.token_hex(32),
            dev=True,
        )
        log = LastLines()
        _capture_logs(stack, log)
        house = stack.enter_context(
            open_house(settings, keys, observers=[stories], rollout=rollout)
        )
        app = make_app(house)
        interrupted = _on_signals(stack)
        port = await _serve(stack, app, options.port)
        crew = await stack.enter_async_context(
            Crew(
                clients,
                stories,
                host=_HOST,
                port=port,
                factor=options.factor,
                jwt_secret=keys.jwt_secret,
            )
        )
        url = f"http://{_HOST}:{port}/"
        scene = Scene(
            house.shim, house.tally, stories, log.lines, url, options.factor, options.seconds
        )
        with View(scene, console) as view:
            await _watch(view, options.seconds, crew, interrupted)
        if interrupted.is_set():
            console.print("interrupted; nothing was checked")
            return _INTERRUPTED
        summary = await _summarise(crew, stories, house, url, options.factor, log)
        summary.show(console)
        if options.keep:
            console.print(f"\nStill running at {url}api/report; Ctrl-C ends it.")
            await _first(interrupted.wait(), crew.died())
        return 0 if summary.ok else 1


def _capture_logs(stack: AsyncExitStack, handler: LastLines) -> None:
    """Keep the server's log off the terminal, which belongs to the view."""
    for name in ("shim", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        stack.callback(setattr, logger, "propagate", logger.propagate)
        stack.callback(logger.removeHandler, handler)
        logger.addHandler(handler)
        logger.propagate = False


def _on_signals(stack: AsyncExitStack) -> asyncio.Event:
    """Set by Ctrl-C, and by whoever ends this process kindly."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupted.set)
        stack.callback(loop.remove_signal_handler, number)
    return interrupted


async def _serve(stack: AsyncExitStack, app: web.Application, port: int) -> int:
    """Start the server; answer its port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, _HOST, port).start()
    except OSError as error:
        raise InputError(f"cannot listen on {_HOST}:{port}: {error.strerror}") from None
    return int(runner.addresses[0][1])


async def _watch(view: View, seconds: float, crew: Crew, interrupted: asyncio.Event) -> None:
    """Show what happens until the time is up, or there is nothing more to see."""
    ends = time.monotonic() + seconds
    over = asyncio.create_task(_first(interrupted.wait(), crew.died()))
    try:
        while (left := ends - time.monotonic()) > 0 and not over.done():
            view.refresh()
            await asyncio.wait([over], timeout=min(left, view.interval))
        view.refresh(last=True)
    finally:
        over.cancel()


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _summarise(
    crew: Crew,
    stories: Stories,
    house: House,
    url: str,
    factor: float,
    log: LastLines,
) -> Summary:
    """Ask the fleet and the server, and judge."""
    objections: list[str] = []
    try:
        await crew.thaw()
    except (TimeoutError, ConnectionError):
        objections.append("the fleet did not answer")
    before = Totals.of(stories.by_client)
    async with aiohttp.ClientSession() as http, http.get(f"{url}api/report") as answer:
        report = await answer.json()
    driver = house.shim.driver
    objections += judge_report(report, before, Totals.of(stories.by_client))
    objections += stories.failures
    objections += [f"in the log: {line}" for line in log.errors]
    results = judge(stories.by_client, factor, driver.pauses)
    return Summary(results, report, tuple(objections), crew.lag, factor)
