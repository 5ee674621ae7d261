"""`shim doctor`: what is wrong with a shim's settings and surroundings, in words."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from shim.cli.checkup import Diagnosis, Health, examine
from shim.cli.common import PATH, input_errors, json_option, read_settings
from shim.cli.terminal import console_for, plain, print_json
from shim.model import InputError

_SIGNS = {Health.GOOD: ("✓", "green"), Health.ODD: ("…", "yellow"), Health.BAD: ("✗", "bold red")}


@click.command()
@click.option(
    "--config", type=PATH, help="The settings file. Without it the command looks at the defaults."
)
@json_option
@input_errors
def doctor(config: Path | None, as_json: bool) -> None:
    """Look at everything that a shim needs, and say in words what is wrong.

    The settings, the flags file, the secrets, the ledger, the collector of traces, the ports, the clock and
    the limit of open files. The command changes nothing, and may run beside a running shim. Exit code 0:
    nothing keeps a shim from its work; 1: something does.
    """
    findings = _findings(config)
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        console_for().print(_table(findings))
    if any(finding.health is Health.BAD for finding in findings):
        raise SystemExit(1)


def _findings(config: Path | None) -> list[Diagnosis]:
    try:
        settings = read_settings(config)
    except InputError as error:
        # What hangs on the settings cannot be looked at.
        return [Diagnosis("settings", Health.BAD, str(problem)) for problem in error.problems]
    words = "the defaults; no settings file was named" if config is None else f"{config} is valid"
    return [Diagnosis("settings", Health.GOOD, words), *examine(settings)]


def _table(findings: Sequence[Diagnosis]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, style = _SIGNS[finding.health]
        words = plain(finding.words, "" if finding.health is Health.GOOD else style)
        table.add_row(Text(sign, style), finding.about, words)
    return table
