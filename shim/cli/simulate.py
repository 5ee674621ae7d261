"""`shim simulate`: a fleet and a rollout in virtual time, and the answer of the gate."""

import gc
import sys
from math import floor
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from shim.cli.common import PATH, input_errors, json_option, little_garbage
from shim.cli.gate import EXIT_CODES, show
from shim.cli.terminal import console_for, echo, print_json, progress_bar
from shim.model import InputError, Role
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.settings.settings import load_settings
from shim.simulate.plan import make_plan, typical
from shim.simulate.scenario import Scenario, load_scenario
from shim.simulate.simulation_run import SimulationRun


@click.command()
@click.argument("file", type=PATH, required=False)
@click.option(
    "--plan", is_flag=True, help="Print how many users and days it takes until the gate can answer."
)
@click.option("--config", type=PATH, help="A settings file, instead of the settings in FILE.")
@click.option("--seed", type=click.IntRange(0), help="Use this seed, instead of the seed in FILE.")
@click.option(
    "--users",
    type=click.IntRange(1),
    help="Simulate this many users, instead of the number in FILE.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 3660, min_open=True),
    help="Simulate this many days, instead of the number in FILE.",
)
@click.option("--ledger", type=PATH, help="Write a ledger to this new file.")
@click.option("--capture", type=PATH, help="Write a capture to this new file.")
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    default=0.1,
    show_default=True,
    help="The percentage of users who are in the capture even without a decision.",
)
@json_option
@input_errors
def simulate(
    file: Path | None,
    plan: bool,
    config: Path | None,
    seed: int | None,
    users: int | None,
    days: float | None,
    ledger: Path | None,
    capture: Path | None,
    sample: float,
    as_json: bool,
) -> None:
    """Simulate the fleet that FILE describes, and ask the gate.

    Exit code 0: the gate answers ready; 1: not ready; 3: insufficient evidence. With --plan: 0 if the
    gate can answer, 3 if it cannot answer.
    """
    types = monitor_types(plugin_manager())
    if file is None and not plan:
        raise click.UsageError("FILE is missing; only --plan works without FILE")
    scenario = typical(types) if file is None else load_scenario(file, types)
    changes: dict[str, Any] = {"seed": seed, "users": users, "days": days}
    if config is not None:
        changes["settings"] = load_settings(config, types)
        if changes["settings"].monitors.control is None:
            raise InputError(f"{config}: monitors.control: a simulation compares two monitors")
    scenario = scenario.model_copy(update={k: v for k, v in changes.items() if v is not None})
    if plan:
        _plan(scenario, as_json)
    else:
        _simulate(scenario, ledger, capture, sample / 100, as_json)


def _simulate(
    scenario: Scenario, ledger: Path | None, capture: Path | None, sample: float, as_json: bool
) -> None:
    with (
        little_garbage(),
        SimulationRun(scenario, ledger=ledger, capture=capture, sample=sample) as run,
    ):
        gc.freeze()  # the fleet stays to the end
        try:
            with progress_bar("simulate", scenario.end) as show_progress:
                for now in run.hours():
                    show_progress(now)
        finally:
            gc.unfreeze()
        answer = run.answer()
    if as_json:
        print_json({**run.as_dict(), "gate": answer.as_dict()})
    else:
        _show(run.as_dict())
        show(answer)
    sys.exit(EXIT_CODES[answer.verdict])


def _show(facts: dict[str, Any]) -> None:
    tally = facts["tally"]
    table = Table(box=None, show_header=False)
    table.add_row("simulated", f"{facts['users']:,} users, {facts['days']:g} days")
    table.add_row("connections", f"{facts['connections']:,}")
    verdicts = ", ".join(f"{count:,} {name}" for name, count in tally["verdicts"].items() if count)
    table.add_row("verdicts", verdicts or "none")
    for role in Role:
        outcomes = tally["outcomes"][role]
        counts = ", ".join(f"{count:,} {name}" for name, count in outcomes.items() if count)
        table.add_row(f"closed by the {role}", counts or "none")
    proofs = tally["proofs_of_life"]
    table.add_row("closed alive", ", ".join(f"{proofs[role]:,} by the {role}" for role in Role))
    if tally["brake"] is not None:
        table.add_row("the brake engaged", tally["brake"])
    console_for(width=None).print(table)
    echo()


def _plan(scenario: Scenario, as_json: bool) -> None:
    plan = make_plan(scenario)
    if as_json:
        print_json(plan.as_dict())
    else:
        console = console_for(width=None)
        console.print(
            f"A pilot of {plan.pilot_users:,} simulated users had "
            f"{plan.timeouts_per_user_day:.3g} timeouts per user and day that compare the monitors. "
            "So the gate needs:"
        )
        table = Table("days", "users", "answer", "what takes longest", box=None)
        for step in plan.steps:
            users = "never" if step.users is None else f"{step.users:,}"
            table.add_row(f"{step.days:g}", users, step.verdict.value, step.reason)
        console.print(table)
        fleets = Table("users", "answer", "after days", "agreement of at least", box=None)
        for fleet in plan.fleets:
            days = "-" if fleet.days is None else f"{fleet.days:g}"
            agreement = f"{floor(fleet.agreement * 10_000) / 100:.2f} %"
            fleets.add_row(f"{fleet.users:,}", fleet.verdict.value, days, agreement)
        echo()
        console.print("Fleets of these sizes with the same rates:")
        console.print(fleets)
    sys.exit(0 if any(step.users is not None for step in plan.steps) else 3)
