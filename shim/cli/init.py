"""`shim init`: settings and flags to begin with."""

import shlex
from importlib.resources import files
from pathlib import Path

import click

from shim.cli.common import PATH, input_errors
from shim.cli.terminal import echo
from shim.model import InputError

_SETTINGS = "shim.yaml"
_NAMES = (_SETTINGS, "rollout.yaml")


@click.command()
@click.argument("folder", type=PATH, default=Path())
@input_errors
def init(folder: Path) -> None:
    """Write shim.yaml (the settings) and rollout.yaml (the flags) into FOLDER, with comments.

    The folder is made if there is none. Every value is the default: the control acts for everybody, and one
    user of ten is at `shadow`. A file that is there already is never overwritten.
    """
    starters = files("shim.cli") / "starters"
    texts = {name: (starters / name).read_text(encoding="utf-8") for name in _NAMES}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}") from None
    if there := [str(folder / name) for name in texts if (folder / name).exists()]:
        raise InputError(f"{' and '.join(there)}: there already; nothing was written")
    for name, text in texts.items():
        try:
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InputError(f"{folder / name} cannot be written: {error.strerror}") from None
        echo(f"wrote {folder / name}")
    echo()
    echo("next:")
    settings = shlex.quote(str(folder / _SETTINGS))
    commands = {
        f"shim doctor --config {settings}": "is anything wrong on this machine?",
        f"shim serve --dev --config {settings}": "the reference server, to look around",
        "shim codes": "which clients come back after which close code?",
    }
    width = max(map(len, commands))
    for command, purpose in commands.items():
        echo(f"  {command:{width}}  {purpose}")
