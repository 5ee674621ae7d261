"""`shim rollout`: the current and the next step of the plan, by the settings or by a running shim."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from shim.cli.common import PATH, check_force, input_errors, json_option, read_settings
from shim.cli.flagsdiff import show_shares
from shim.cli.ledger_option import echo_record, ledger_of
from shim.cli.remote import PATIENCE, Remote, with_its_record
from shim.cli.terminal import echo, echo_error, print_json
from shim.gate.answer import Standing
from shim.ledger.completeness import Completeness, describe_completeness, with_record
from shim.model import InputError
from shim.rollout.changes import this_user
from shim.rollout.planned_rollout import PlannedRollout, StepOrder
from shim.rollout.promotion_facts import facts_from
from shim.rollout.promotion_plan import Facts
from shim.rollout.rollout_state import RolloutState, StepAnswer
from shim.runtime.machine_start import present_time
from shim.settings.settings import Settings

_EXIT_CODES = {Standing.MET: 0, Standing.FAILED: 1, Standing.OPEN: 3}
_SIGNS = {"met": "✓", "failed": "✗", "open": "…"}

_config = click.option(
    "--config",
    type=PATH,
    default=Path("config/shim.yaml"),
    show_default=True,
    help="The settings file, with the plan.",
)
_url = click.option(
    "--url", help="Ask a running shim at this address, by its own settings, instead of --config."
)


@click.group()
def rollout() -> None:
    """Show and take the steps of the plan in the settings (`promotion`)."""


@rollout.command()
@_config
@_url
@json_option
@input_errors
def status(config: Path, url: str | None, as_json: bool) -> None:
    """Print the current step of the plan, and what is missing for the next step."""
    if url is not None:
        read = with_its_record(RolloutState.from_dict)
        state, record = Remote(url).get("/api/rollout", read, patience=PATIENCE)
    else:
        settings = read_settings(config)
        record = _record(settings)
        state = _planned(settings).look()
    if as_json:
        print_json(with_record(state.as_dict(), record))
    else:
        _show(state, record)


@rollout.command()
@_config
@_url
@click.option("--dry-run", is_flag=True, help="Show the next file and change nothing.")
@click.option(
    "--force", is_flag=True, help="Take the step although something is missing; needs --reason."
)
@click.option("--reason", help="The reason; it is kept with the change.")
@json_option
@input_errors
def advance(
    config: Path, url: str | None, dry_run: bool, force: bool, reason: str | None, as_json: bool
) -> None:
    """Take the next step of the plan: put the next flags file in place.

    Exit code 1 if something forbids the step, 3 if more evidence or time is needed; then nothing is
    changed.
    """
    check_force(force, reason)
    order = StepOrder(this_user(), reason, force, dry_run)
    if url is not None:
        body = {"who": order.by, "reason": reason, "force": force, "dry_run": dry_run}
        read = with_its_record(StepAnswer.from_dict)
        answer, record = Remote(url).post("/api/rollout", read, body, patience=PATIENCE)
    else:
        settings = read_settings(config)
        record = _record(settings)
        answer = _planned(settings).take_step(order)
    if as_json:
        print_json(with_record(answer.as_dict(), record))
    else:
        _show(answer, record)
        _show_change(answer)
    if answer.next is not None:
        raise SystemExit(_EXIT_CODES[Standing.MET if force else answer.standing])


def _planned(settings: Settings) -> PlannedRollout:
    """What the ledger of the settings says is asked as of now."""

    def ask(digest: str) -> Facts:
        with ledger_of(settings) as reader:
            return facts_from(reader, settings, digest, present_time(reader))

    return PlannedRollout(settings, ask)


def _record(settings: Settings) -> Completeness | None:
    """How far the record goes from which the facts are read; None: there is no fleet, or no answer."""
    with suppress(InputError), ledger_of(settings) as reader:
        return describe_completeness(reader.fleet())
    return None


def _show(state: RolloutState, record: Completeness | None) -> None:
    at = "before the first step" if state.step is None else f"at step {state.step}"
    echo(f"{state.file} is {at} of {state.steps}: {_format_widths(state.percent)}")
    echo_record(record)
    if state.next is None:
        echo("the plan is done; `shim gate` says whether the control may be retired")
    else:
        echo(f"the next step: {_format_widths(state.next)}")
        for check in state.checks:
            echo(f"  {_SIGNS[check['standing']]} {check['name']}: {check['words']}")
        if state.moves is None:
            echo("which users move is told to operators alone")
        else:
            show_shares(state.moves)
        for line in (state.diff or "").splitlines():
            echo(line)
    for warning in state.warnings:
        echo_error(f"warning: {warning}")


def _show_change(answer: StepAnswer) -> None:
    if (change := answer.change) is not None:
        echo(f"{answer.file} is replaced: digest {change['after'][:12]}, by {change['by']}")
    elif answer.next is not None:
        echo("nothing is changed" + (" (dry run)" if answer.dry_run else ""))


def _format_widths(percent: Mapping[str, float]) -> str:
    """Widths as they are written in the file."""
    return "{" + ", ".join(f"{stage}: {width:g}" for stage, width in percent.items()) + "}"
