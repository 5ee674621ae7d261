"""The demo: a service in this process, its clients in a second one, an operator, and a checked summary."""

import asyncio
import logging
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from shim.demo.client_history import ClientHistories
from shim.demo.demo_clients import demo_clients
from shim.demo.demo_screen import demo_screen, print_lines
from shim.demo.demo_service import DemoService, demo_service
from shim.demo.demo_settings import flags_file, settings_value
from shim.demo.lost_app import FLUSH, find_lost_app
from shim.demo.operator import Operator
from shim.demo.rollout_checks import RolloutRecord, check_rollout
from shim.demo.rollout_steps import rollout_steps
from shim.demo.rollout_summary import RolloutSummary, learn_of_codes
from shim.demo.rollout_view import RolloutView
from shim.ledger.rows import BrakeRow
from shim.model import seconds

_INTERRUPTED = 130
_PATIENCE = 30.0
_SCALED_PATIENCE = 600.0

_CHECKED_LOGS = ("shim", "aiohttp", "asyncio")
_EXPECTED_ERRORS = ("flags: refused", "brake engaged", "the brake is still engaged")
"""Errors in the log that belong to the rollout."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`port` 0 is any free one; `trace_url` is where a trace is seen (`telemetry.trace_url`)."""

    seconds: float
    users: int
    factor: float
    port: int = 0
    keep: bool = False
    trace_url: str | None = None


class CapturedLog(logging.Handler):
    """Keeps the lines of the errors in `errors`, and prints nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR or record.name.partition(".")[0] not in _CHECKED_LOGS:
            return
        line = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({record.exc_info[1]!r})"
        self.errors.append(line)


@contextmanager
def captured_log() -> Iterator[CapturedLog]:
    """Inside the context the log goes to the handler alone."""
    root, handler = logging.getLogger(), CapturedLog()
    before, root.handlers = root.handlers, [handler]
    try:
        yield handler
    finally:
        root.handlers = before


def run_demo(options: DemoOptions, console: Console) -> int:
    """Run the demo; answer its exit code. Raises InputError if it cannot listen."""
    return asyncio.run(run_in_folder(partial(_run_in, options, console), console))


async def run_in_folder(
    run: Callable[[Path, CapturedLog, asyncio.Event], Awaitable[int | None]], console: Console
) -> int:
    """Run a demo in a folder that is removed afterwards; its exit code.

    The event is set by an interrupt; after that the demo answers None.
    """
    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    with tempfile.TemporaryDirectory(prefix="shim-demo-") as folder, captured_log() as log:
        code = await run(Path(folder), log, interrupted)
    if code is None:
        console.print("interrupted; nothing was checked")
        return _INTERRUPTED
    return code


async def _run_in(
    options: DemoOptions,
    console: Console,
    folder: Path,
    log: CapturedLog,
    interrupted: asyncio.Event,
) -> int | None:
    """Answer the exit code; None after an interrupt."""
    flags, ledger, factor = folder / "rollout.yaml", str(folder / "ledger.db"), options.factor
    flags.write_bytes(flags_file())
    histories = ClientHistories(demo_clients(options.users))
    settings = settings_value(factor, ledger, trace_url=options.trace_url)
    steps = rollout_steps(factor, ledger, options.trace_url)
    async with (
        demo_service(settings, [histories], flags, options.port) as service,
        service.clients(histories.all, factor) as clients,
    ):
        operator = Operator(
            service, flags, histories, seconds=options.seconds, patience=longest_step(factor)
        )
        view = RolloutView(operator, steps, factor)
        print_lines(console, view.heading())
        async with demo_screen(console, view.lines, view.picture):
            done = await unless(operator.take(steps), interrupted.wait(), clients.died())
        if interrupted.is_set():
            return None
        errors = [error for error in log.errors if not error.startswith(_EXPECTED_ERRORS)]
        if not done:
            errors.insert(0, "the clients' process ended")
        record = RolloutRecord(
            steps=steps,
            progress=operator.progress,
            histories=histories,
            brakes=await asyncio.to_thread(_brakes, service),
            pauses=service.shim.driver.pauses,
            gate=await asyncio.to_thread(_ask_gate, service),
            errors=errors,
        )
        checks = check_rollout(record)
        summary = RolloutSummary(checks, learn_of_codes(histories.sdk_apps), clients.lag, factor)
        lost_app = await asyncio.to_thread(find_lost_app, service)
        if lost_app is not None:
            lost_app.show(console, kept=options.keep)
        summary.show(console)
        if options.keep:
            lines = (
                f"The service is still running; Ctrl-C ends it. Console: {service.url}/",
                service.login_link(),
                f"SHIM_OPERATOR_TOKEN={service.secrets.operator_token}",
            )
            print_lines(console, ("", *lines))
            await unless(interrupted.wait(), clients.died())
    return 0 if summary.ok else 1


def longest_step(factor: float) -> float:
    """How many seconds a step may take: some of this machine, and some of a real service."""
    return _PATIENCE + _SCALED_PATIENCE / factor


def _brakes(service: DemoService) -> list[BrakeRow]:
    """What was done to the brake, oldest first, when all rows are in the ledger. For a thread."""
    service.shim.assembly.records.ledger.flush(FLUSH)
    return service.shim.assembly.reader.rows(BrakeRow)[::-1]


def _ask_gate(service: DemoService) -> str:
    """May the control be retired? To be called in a thread."""
    assembly = service.shim.assembly
    days = seconds(service.shim.settings.gate.period) / 86_400
    answer = assembly.judge_gate(assembly.reader)
    return f"{answer.verdict} evidence: the gate judges {days:g} days"


async def unless(work: Awaitable[Any], *ends: Awaitable[Any]) -> bool:
    """Do the work unless one of these ends it; answer whether it was done.

    Nothing of either is left running. Raises what the work raises.
    """
    tasks = [asyncio.ensure_future(each) for each in (work, *ends)]
    doing = tasks[0]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
        return doing.done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
