"""`shim flags`: check the flags file, explain a user's stage, and compare two flags files."""

from pathlib import Path

import click

from shim.cli.common import PATH, input_errors, json_option, read_settings
from shim.cli.flagsdiff import diff
from shim.cli.flagsstore import log, pull, push
from shim.cli.terminal import echo, echo_error, print_json
from shim.flags.buckets import ALGORITHM, BUCKETS, bucket
from shim.flags.flagd import flagd_flags
from shim.model import InputError
from shim.rollout.client_hints import candidate_warnings
from shim.rollout.flags_place import FlagsStorePlace
from shim.settings.flags_file import FlagsFile, flags_schema, load_flags_file
from shim.settings.settings import FlagsInStore, Settings, load_flags
from shim.settings.yamlfile import UnreadableError

DEFAULT_FILE = Path("config/rollout.yaml")
_NO = 1

_file = click.argument("file", type=PATH, required=False)
_config = click.option(
    "--config", type=PATH, help="A settings file; its flags file is read, unless FILE is given."
)


@click.group()
def flags() -> None:
    """Check and explain the flags file (config/rollout.yaml, unless FILE is given)."""


for command in (diff, push, pull, log):
    flags.add_command(command)


@flags.command()
@_file
@_config
@json_option
@input_errors
def check(file: Path | None, config: Path | None, as_json: bool) -> None:
    """Check whether FILE is a valid flags file. If not, print every problem; the exit code is 1.

    With --config the file is also checked together with the settings: warnings say where the file lets
    the candidate act with a close code after which known clients stay away, and whether the candidate takes a
    pause of the server for silence.
    """
    settings = _settings(config)
    try:
        loaded = _loaded(file, settings)
    except UnreadableError:
        raise
    except InputError as error:
        if as_json:
            problems = [
                {"line": p.line, "column": p.column, "path": p.path, "reason": p.reason}
                for p in error.problems
            ]
            print_json({"valid": False, "file": error.problems[0].file, "problems": problems})
        else:
            for problem in error.problems:
                echo_error(str(problem))
        raise SystemExit(_NO) from None
    warnings = [] if settings is None else candidate_warnings(settings, loaded.targeting)
    if as_json:
        answer = {"valid": True, "file": str(loaded.path), "digest": loaded.digest}
        print_json({**answer, "warnings": warnings})
        return
    echo(f"{loaded.path} is good, digest {loaded.digest[:12]}")
    for warning in warnings:
        echo_error(f"warning: {warning}")


@flags.command()
@click.argument("user")
@_file
@_config
@click.option(
    "--brake", is_flag=True, help="Show the stage that the user has while the brake is engaged."
)
@json_option
@input_errors
def explain(user: str, file: Path | None, config: Path | None, brake: bool, as_json: bool) -> None:
    """Print at which stage USER is, and why."""
    targeting = _loaded(file, _settings(config)).targeting
    evaluation = targeting.evaluate(user, brake=brake)
    if as_json:
        print_json(evaluation.as_dict())
        return
    for line in evaluation.explain_lines():
        echo(line)


@flags.command("bucket")
@click.argument("user")
@click.option(
    "--salt",
    default="monitor-rollout",
    show_default=True,
    help="The value of `hash.salt` in the flags file.",
)
@json_option
def bucket_(user: str, salt: str, as_json: bool) -> None:
    """Print the bucket of USER, a number from 0 to 99999."""
    number = bucket(salt, user)
    if as_json:
        facts = {"user": user, "salt": salt, "algorithm": ALGORITHM, "bucket": number}
        print_json({**facts, "buckets": BUCKETS})
    else:
        echo(str(number))


@flags.command()
def schema() -> None:
    """Print the JSON Schema of the flags file, for editors."""
    print_json(flags_schema(), indent=2)


@flags.command()
@_file
@_config
@click.option("--flagd", is_flag=True, required=True, help="Print a flag definition for flagd.")
@input_errors
def export(file: Path | None, config: Path | None, flagd: bool) -> None:
    """Print the flags file in the format of another system.

    Overrides, rules, widths and holdback are exported. flagd has another hash: the shares are the same
    there, but other users are in them. flagd does not know the brake of the shim.
    """
    targeting = _loaded(file, _settings(config)).targeting
    print_json(flagd_flags(targeting), indent=2)
    echo_error(
        "note: flagd has another hash: the shares stay the same, but other users are in them; "
        "flagd does not know the brake of the shim"
    )


def _settings(config: Path | None) -> Settings | None:
    return None if config is None else read_settings(config)


def _loaded(file: Path | None, settings: Settings | None) -> FlagsFile:
    if file is not None or settings is None:
        return load_flags_file(file or DEFAULT_FILE)
    if isinstance(settings.rollout, FlagsInStore):
        # What is in force in the fleet, not this machine's copy of it.
        place = FlagsStorePlace(settings.ledger)
        return load_flags_file(Path(place.name), lambda _: place.read())
    loaded = load_flags(settings)
    if loaded is None:
        raise UnreadableError("these settings name no flags file (rollout: null)")
    return loaded
