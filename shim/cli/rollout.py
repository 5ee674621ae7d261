"""`shim rollout`: the current and the next step of the plan."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from difflib import unified_diff
from pathlib import Path
from typing import Any

import click

from shim.cli.common import input_errors, json_option
from shim.cli.flagsdiff import shares_as_dict, show_shares
from shim.cli.ledger_option import ledger_of
from shim.cli.terminal import echo, echo_error, print_json
from shim.flags import Percentages, compare
from shim.gate import Standing
from shim.ledger import wall_clock
from shim.ledger.completeness import (
    Completeness,
    describe_completeness,
    format_completeness,
    with_record,
)
from shim.model import InputError
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.rollout.changes import this_user
from shim.rollout.client_hints import close_code_warning
from shim.rollout.editing import format_widths
from shim.rollout.flags_place import FlagsPlace, flags_place
from shim.rollout.promotion import Promotion, describe_step, prepare, put_in_place
from shim.rollout.promotion_facts import facts_from
from shim.rollout.promotion_plan import Facts
from shim.runtime.machine_start import present_time
from shim.settings import Settings, UnreadableError, load_settings

_EXIT_CODES = {Standing.MET: 0, Standing.FAILED: 1, Standing.OPEN: 3}
_SIGNS = {Standing.MET: "✓", Standing.FAILED: "✗", Standing.OPEN: "…"}

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("config/shim.yaml"),
    show_default=True,
    help="The settings file, with the plan.",
)


@click.group()
def rollout() -> None:
    """Show and take the steps of the plan in the settings (`promotion`)."""


@rollout.command()
@_config
@json_option
@input_errors
def status(config: Path, as_json: bool) -> None:
    """Print the current step of the plan, and what is missing for the next step."""
    settings, place = _plan(config)
    record = _record(settings)
    promotion = _prepared(settings, place, _facts(settings))
    if as_json:
        print_json(_as_dict(promotion, record))
    else:
        _show(promotion, record)
        _warn(settings, promotion)


@rollout.command()
@_config
@click.option("--dry-run", is_flag=True, help="Show the next file and change nothing.")
@click.option(
    "--force", is_flag=True, help="Take the step although something is missing; needs --reason."
)
@click.option("--reason", help="The reason; it is kept with the change.")
@json_option
@input_errors
def advance(config: Path, dry_run: bool, force: bool, reason: str | None, as_json: bool) -> None:
    """Take the next step of the plan: put the next flags file in place.

    Exit code 1 if something forbids the step, 3 if more evidence or time is needed; then nothing is
    changed.
    """
    if force and not (reason or "").strip():
        raise click.UsageError("--force needs --reason")
    settings, place = _plan(config)
    record, facts = _record(settings), _facts(settings)
    promotion = _prepared(settings, place, _if_any(facts) if force else facts)
    standing = Standing.MET if force else promotion.proposal.standing
    change = None
    if promotion.next_content is not None and standing is Standing.MET and not dry_run:
        words = "by force" if force else describe_step(promotion)
        change = put_in_place(promotion, this_user(), f"{words}: {reason}" if reason else words)
    if as_json:
        done = None if change is None else asdict(change)
        print_json({**_as_dict(promotion, record), "dry_run": dry_run, "change": done})
    else:
        _show(promotion, record)
        _warn(settings, promotion)
        if change is not None:
            echo(f"{promotion.place.name} is replaced: digest {change.after[:12]}, by {change.by}")
        elif promotion.next_content is not None:
            echo("nothing is changed" + (" (dry run)" if dry_run else ""))
    if promotion.next_content is not None:
        raise SystemExit(_EXIT_CODES[standing])


def _plan(config: Path) -> tuple[Settings, FlagsPlace]:
    """The settings and the place of the flags; raises InputError where there is nothing to go on with."""
    settings = load_settings(config, monitor_types(plugin_manager()))
    if settings.monitors.control is None:
        raise InputError(f"{config}: the control is retired; there is no rollout any more")
    place = flags_place(settings)
    if place is None:
        raise InputError(f"{config}: these settings name no flags file (rollout: null)")
    if not settings.promotion.steps:
        raise InputError(f"{config}: there is no plan (promotion.steps is empty)")
    return settings, place


def _prepared(settings: Settings, place: FlagsPlace, facts: Callable[[str], Facts]) -> Promotion:
    with settings.origin.of("rollout", errors=UnreadableError):
        return prepare(place, settings.promotion.steps, facts)


def _record(settings: Settings) -> Completeness | None:
    """How far the record goes from which the facts are read; None: there is no fleet, or no answer."""
    with suppress(InputError), ledger_of(settings) as reader:
        return describe_completeness(reader.fleet())
    return None


def _facts(settings: Settings) -> Callable[[str], Facts]:
    """What the ledger says of a file by its digest, as of now."""

    def ask(digest: str) -> Facts:
        with ledger_of(settings) as reader:
            return facts_from(reader, settings, digest, present_time(reader))

    return ask


def _if_any(facts: Callable[[str], Facts]) -> Callable[[str], Facts]:
    """The same facts, or no facts instead of an error: a forced step needs no ledger."""

    def ask(digest: str) -> Facts:
        try:
            return facts(digest)
        except InputError as error:
            echo_error(f"warning: {error}")
            return Facts(wall_clock(), None, None, {})

    return ask


def _as_dict(promotion: Promotion, record: Completeness | None) -> dict[str, Any]:
    proposal = promotion.proposal
    answer = {
        "file": promotion.place.name,
        "digest": promotion.digest,
        "percent": _widths(promotion.targeting.percent),
        "step": None if proposal.step is None else proposal.step + 1,
        "steps": proposal.steps,
        "next": None if proposal.percent is None else _widths(proposal.percent),
        "standing": proposal.standing.value,
        "checks": [check.as_dict() for check in proposal.checks],
    }
    if promotion.next_targeting is not None:
        moves = shares_as_dict(compare(promotion.targeting, promotion.next_targeting))
        answer |= {"moves": moves, "diff": _diff(promotion)}
    return with_record(answer, record)


def _widths(percent: Percentages) -> dict[str, float]:
    return {str(stage): float(getattr(percent, str(stage))) for stage, _ in percent.thresholds}


def _show(promotion: Promotion, record: Completeness | None) -> None:
    proposal = promotion.proposal
    at = "before the first step" if proposal.step is None else f"at step {proposal.step + 1}"
    widths = format_widths(promotion.targeting.percent)
    echo(f"{promotion.place.name} is {at} of {proposal.steps}: {widths}")
    for line in format_completeness(record):
        echo(line)
    if proposal.percent is None or promotion.next_targeting is None:
        echo("the plan is done; `shim gate` says whether the control may be retired")
        return
    echo(f"the next step: {format_widths(proposal.percent)}")
    for check in proposal.checks:
        echo(f"  {_SIGNS[check.standing]} {check.name}: {check.words}")
    show_shares(compare(promotion.targeting, promotion.next_targeting))
    for line in _diff(promotion).splitlines():
        echo(line)


def _warn(settings: Settings, promotion: Promotion) -> None:
    after = promotion.next_targeting or promotion.targeting
    if warning := close_code_warning(settings, after):
        echo_error(f"warning: {warning}")


def _diff(promotion: Promotion) -> str:
    """The lines that change."""
    assert promotion.next_content is not None
    before, after = (
        content.decode("utf-8-sig").splitlines(keepends=True)
        for content in (promotion.content, promotion.next_content)
    )
    return "".join(unified_diff(before, after, "now", "next", n=0))
