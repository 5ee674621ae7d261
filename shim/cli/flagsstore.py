"""`shim flags push`, `pull` and `log`: the flags in the store of a fleet, by itself or by a running shim (R26).

Rules: docs/design.md#r26.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from shim.cli.common import PATH, format_local, input_errors, json_option
from shim.cli.ledger_option import one_place, store_of, store_options
from shim.cli.remote import Remote, instead_option
from shim.cli.terminal import console_for, echo, print_json
from shim.ledger.flags_version import FlagsVersion, PushedFlags, describe_missing_flags
from shim.ledger.stores import fleet_store
from shim.model import InputError
from shim.model.ledger_url import LedgerUrl
from shim.rollout.changes import this_user
from shim.settings.flags_file import parse_flags
from shim.settings.yamlfile import read_bytes

if TYPE_CHECKING:
    from shim.ledger.postgres.fleet_store import FleetStore


class _RemoteFlags:
    """The flags in the store of a running shim, by its API: as of `FleetStore`, but lists have no texts."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def list_flags(self, limit: int) -> list[FlagsVersion]:
        return self._remote.get(
            "/api/flags/versions",
            lambda answer: [*map(FlagsVersion.from_dict, answer["versions"])],
            limit=limit,
        )

    def pull_flags(self) -> FlagsVersion | None:
        return self._remote.get("/api/flags/content", FlagsVersion.from_dict)

    def push_flags(self, text: str, *, who: str, reason: str, before: str | None) -> PushedFlags:
        order = {"text": text, "reason": reason, "if_digest": before, "who": who}
        return self._remote.post("/api/flags/versions", PushedFlags.from_dict, order)


def _flags_of(
    config: Path | None, ledger: LedgerUrl | None, url: str | None
) -> "FleetStore | _RemoteFlags":
    one_place(ledger, url)
    return fleet_store(store_of(config, ledger)) if url is None else _RemoteFlags(Remote(url))


def _read_digest(digits: str) -> str:
    if not re.fullmatch("[0-9a-f]{8,64}", digits.lower()):
        raise click.BadParameter(
            f"{digits!r} is not a digest, or the first 8 digits or more of one"
        )
    return digits.lower()


@click.command()
@click.argument("file", type=PATH)
@click.option("--reason", required=True, help="The reason; it is kept with the version.")
@click.option(
    "--if-digest",
    metavar="DIGEST",
    type=_read_digest,
    help="Bring FILE only if the SHA-256 of the flags in force begins with these digits (8 or more).",
)
@store_options
@instead_option
@json_option
@input_errors
def push(
    file: Path,
    reason: str,
    if_digest: str | None,
    config: Path | None,
    ledger: LedgerUrl | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Bring FILE into the store of the fleet: it is in force in every process within 2 seconds.

    FILE is checked first. Exit code 1: other flags than those of --if-digest are in force.
    """
    if not reason.strip():
        raise click.UsageError("--reason must not be empty")
    flags, data = _flags_of(config, ledger, url), read_bytes(file)
    parse_flags(data, str(file))
    pushed = flags.push_flags(
        data.decode("utf-8"), who=this_user(), reason=reason.strip(), before=if_digest
    )
    version = pushed.version
    if as_json:
        print_json(pushed.as_dict())
    elif not pushed.in_force:
        echo(f"nothing is changed: the flags in force have the digest {version.digest[:12]}")
    else:
        echo(f"version {version.id} is in force: digest {version.digest[:12]}, by {version.who}")
    if not pushed.in_force:
        raise SystemExit(1)


@click.command()
@click.argument("file", type=PATH, required=False)
@store_options
@instead_option
@input_errors
def pull(file: Path | None, config: Path | None, ledger: LedgerUrl | None, url: str | None) -> None:
    """Print the flags that are in force in the fleet, or write them into FILE.

    With --url the operator's token is needed, because the flags may name users.
    """
    version = _flags_of(config, ledger, url).pull_flags()
    if version is None:
        raise InputError(describe_missing_flags(store_of(config, ledger)))
    if file is None:
        click.echo(version.text, nl=False)
        return
    try:
        file.write_bytes(version.text.encode())
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}") from None
    echo(f"{file} is version {version.id}: digest {version.digest[:12]}, by {version.who}")


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="Show at most this many versions.",
)
@store_options
@instead_option
@json_option
@input_errors
def log(
    limit: int, config: Path | None, ledger: LedgerUrl | None, url: str | None, as_json: bool
) -> None:
    """List the versions of the fleet's flags, newest first: who brought them, when, and why."""
    versions = _flags_of(config, ledger, url).list_flags(limit)
    if as_json:
        print_json([version.as_dict() for version in versions])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("version", "when", "digest", "by", "reason"):
        table.add_column(title, no_wrap=title != "reason")
    for version in versions:
        moved = f"{(version.before or 'none')[:12]} → {version.digest[:12]}"
        when = format_local(version.at)
        table.add_row(str(version.id), when, moved, version.who, version.reason)
    console_for().print(table)
