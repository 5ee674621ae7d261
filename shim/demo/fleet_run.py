"""The demo of a fleet: three processes and a PostgreSQL, their clients, an operator, and a checked summary."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from shim.demo.client_history import ClientHistories
from shim.demo.client_process import client_process
from shim.demo.demo_fleet import DemoFleet, demo_fleet, fleet_clients
from shim.demo.demo_run import CapturedLog, DemoOptions, longest_step, run_in_folder, unless
from shim.demo.demo_screen import demo_screen, print_lines
from shim.demo.fleet_checks import BY_THE_FLEET, FleetRollout, check_fleet, count_returns
from shim.demo.fleet_operator import FleetOperator
from shim.demo.fleet_steps import FleetStep, fleet_settings, fleet_steps
from shim.demo.processes_view import ProcessesView
from shim.demo.rollout_summary import RolloutSummary

_OF_THE_BRAKE = (BY_THE_FLEET, "brake engaged", "the brake is still engaged")
"""Errors in the logs that belong to the rollout."""


def run_fleet_demo(options: DemoOptions, console: Console) -> int:
    """Run the demo; answer its exit code. Raises InputError where there is no PostgreSQL."""
    return asyncio.run(run_in_folder(partial(_run, options, console), console))


async def _run(
    options: DemoOptions,
    console: Console,
    folder: Path,
    log: CapturedLog,
    interrupted: asyncio.Event,
) -> int | None:
    """Answer the exit code; None after an interrupt."""
    factor, steps = options.factor, fleet_steps(options.factor)
    print_lines(console, ["A PostgreSQL and three processes start …"])
    async with demo_fleet(folder, fleet_settings(factor)) as fleet:
        if not await unless(fleet.start(), interrupted.wait()):
            return None
        histories = ClientHistories(fleet_clients(options.users))
        secret = fleet.environment["SHIM_JWT_SECRET"]
        async with client_process(
            histories.all, urls=fleet.urls, factor=factor, jwt_secret=secret
        ) as clients:
            operator = FleetOperator(
                fleet,
                histories,
                await fleet.look(),
                seconds=options.seconds,
                patience=longest_step(factor),
            )
            view = ProcessesView(operator, len(steps), factor)
            print_lines(console, view.heading())
            async with demo_screen(console, view.lines, view.picture):
                done = await unless(operator.take(steps), interrupted.wait(), clients.died())
            if interrupted.is_set():
                return None
            errors = log.errors if done else ["the clients' process ended", *log.errors]
            rollout = await _record(fleet, operator, steps, errors)
            summary = RolloutSummary(check_fleet(rollout), _lesson(histories), clients.lag, factor)
            summary.show(console)
            if options.keep:
                print_lines(console, ("", *_still_running(fleet)))
                await unless(interrupted.wait(), clients.died())
    return 0 if summary.ok else 1


async def _record(
    fleet: DemoFleet, operator: FleetOperator, steps: Sequence[FleetStep], errors: Sequence[str]
) -> FleetRollout:
    logged = [line for process in fleet.processes for line in process.errors()]
    of_the_brake = [line for line in logged if line.partition(": ")[2].startswith(_OF_THE_BRAKE)]
    return FleetRollout(
        steps=steps,
        progress=operator.progress,
        histories=operator.histories.all,
        facts=await fleet.look(),
        orders=await fleet.orders(),
        versions=await fleet.versions(),
        brake_lines=of_the_brake,
        errors=[*errors, *(line for line in logged if line not in of_the_brake)],
    )


def _lesson(histories: ClientHistories) -> str:
    back, elsewhere = count_returns(histories.all)
    return (
        "In each process the mistake hit one user. No process alone could tell that from chance; the record "
        f"of all three could. And {elsewhere} of {back} returns were to another process than the one that had "
        "closed the connection: alone, that one would have counted losses."
    )


def _still_running(fleet: DemoFleet) -> Sequence[str]:
    first = fleet.processes[0]
    return (
        f"The fleet is still running; Ctrl-C ends it. The fleet: {first.url}/fleet",
        first.login_link,
        f"SHIM_OPERATOR_TOKEN={fleet.environment['SHIM_OPERATOR_TOKEN']}",
        "Commands of your own, for example:",
        f"  PGPASSWORD={fleet.environment['PGPASSWORD']} shim status --ledger {fleet.store}",
    )
