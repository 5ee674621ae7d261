"""`shim flags`: is the file good, who is at which stage, and why."""

import json
from pathlib import Path

import click

from shim.cli.common import input_errors, json_option
from shim.flags import ALGORITHM, BUCKETS, bucket
from shim.model import InputError
from shim.settings import UnreadableError, load_rollout

DEFAULT_FILE = Path("config/rollout.yaml")
_file = click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_FILE)


@click.group()
def flags() -> None:
    """Ask the flags file."""


@flags.command()
@_file
@json_option
@input_errors
def check(file: Path, as_json: bool) -> None:
    """Is FILE a good flags file? Exit code 1 with every problem in it, if it is not."""
    try:
        loaded = load_rollout(file)
    except UnreadableError:
        raise
    except InputError as error:
        if as_json:
            problems = [
                {"line": p.line, "column": p.column, "path": p.path, "reason": p.reason}
                for p in error.problems
            ]
            click.echo(json.dumps({"valid": False, "file": str(file), "problems": problems}))
        else:
            for problem in error.problems:
                click.echo(str(problem), err=True)
        raise SystemExit(1) from None
    if as_json:
        click.echo(json.dumps({"valid": True, "file": str(file), "digest": loaded.digest}))
    else:
        click.echo(f"{file} is good, digest {loaded.digest[:12]}")


@flags.command()
@click.argument("user")
@_file
@json_option
@input_errors
def explain(user: str, file: Path, as_json: bool) -> None:
    """At which stage is USER, and why?"""
    evaluation = load_rollout(file).rollout.evaluate(user)
    click.echo(json.dumps(evaluation.as_dict()) if as_json else evaluation.explain())


@flags.command("bucket")
@click.argument("user")
@click.option(
    "--salt", default="monitor-rollout", show_default=True, help="`hash.salt` of the file."
)
@json_option
def bucket_(user: str, salt: str, as_json: bool) -> None:
    """The bucket of USER, from 0 to 99999."""
    number = bucket(salt, user)
    if as_json:
        facts = {"user": user, "salt": salt, "algorithm": ALGORITHM, "bucket": number}
        click.echo(json.dumps({**facts, "buckets": BUCKETS}))
    else:
        click.echo(str(number))
