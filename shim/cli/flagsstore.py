"""`shim flags push`, `pull` and `log`: the flags in the store of a fleet (R26).

Rules: docs/design.md#r26.
"""

from datetime import datetime
from pathlib import Path

import click
from rich.table import Table

from shim.cli.common import PATH, input_errors, json_option
from shim.cli.ledger_option import store_of, store_options
from shim.cli.terminal import console_for, echo, print_json
from shim.ledger import list_flags, pull_flags, push_flags
from shim.model import InputError, seconds
from shim.rollout.changes import this_user
from shim.settings import LedgerUrl, parse_flags
from shim.settings.yamlfile import read_bytes


@click.command()
@click.argument("file", type=PATH)
@click.option("--reason", required=True, help="The reason; it is kept with the version.")
@click.option(
    "--if-digest",
    metavar="DIGEST",
    help="Only if the flags in force have this SHA-256, or begin of one (8 digits or more).",
)
@store_options
@json_option
@input_errors
def push(
    file: Path,
    reason: str,
    if_digest: str | None,
    config: Path | None,
    ledger: LedgerUrl | None,
    as_json: bool,
) -> None:
    """Bring FILE into the store of the fleet: it is in force in every process within 2 seconds.

    FILE is checked first. Exit code 1: other flags than those of --if-digest are in force.
    """
    if not reason.strip():
        raise click.UsageError("--reason must not be empty")
    store, data = store_of(config, ledger), read_bytes(file)
    parse_flags(data, str(file))
    before = _whole_digest(store, if_digest)
    pushed = push_flags(
        store, data.decode("utf-8"), who=this_user(), reason=reason.strip(), before=before
    )
    version = pushed.version
    if as_json:
        print_json({**version.as_dict(), "in_force": pushed.in_force})
    elif not pushed.in_force:
        echo(f"nothing is changed: the flags in force have the digest {version.digest[:12]}")
    else:
        echo(f"version {version.id} is in force: digest {version.digest[:12]}, by {version.who}")
    if not pushed.in_force:
        raise SystemExit(1)


@click.command()
@click.argument("file", type=PATH, required=False)
@store_options
@input_errors
def pull(file: Path | None, config: Path | None, ledger: LedgerUrl | None) -> None:
    """Print the flags that are in force in the fleet, or write them into FILE."""
    version = pull_flags(store := store_of(config, ledger))
    if version is None:
        raise InputError(f"{store} has no flags yet: `shim flags push` brings a file there")
    if file is None:
        click.echo(version.text, nl=False)
        return
    try:
        file.write_bytes(version.text.encode())
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    echo(f"{file} is version {version.id}: digest {version.digest[:12]}, by {version.who}")


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@store_options
@json_option
@input_errors
def log(limit: int, config: Path | None, ledger: LedgerUrl | None, as_json: bool) -> None:
    """List the versions of the fleet's flags, newest first: who brought them, when, and why."""
    versions = list_flags(store_of(config, ledger), limit)
    if as_json:
        print_json([version.as_dict() for version in versions])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("version", "when", "digest", "by", "reason"):
        table.add_column(title, no_wrap=title != "reason")
    for version in versions:
        when = datetime.fromtimestamp(seconds(version.at)).astimezone()
        moved = f"{(version.before or 'none')[:12]} → {version.digest[:12]}"
        table.add_row(
            str(version.id), f"{when:%Y-%m-%d %H:%M:%S}", moved, version.who, version.reason
        )
    console_for().print(table)


def _whole_digest(store: LedgerUrl, begin: str | None) -> str | None:
    """The digest in force if it begins so; else the begin, which no digest equals."""
    if begin is None:
        return None
    if len(begin) < 8:
        raise click.UsageError("--if-digest needs 8 digits or more")
    version = pull_flags(store)
    if version is not None and version.digest.startswith(begin):
        return version.digest
    return begin
