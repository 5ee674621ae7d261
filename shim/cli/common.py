"""What the commands share: `--json`, and errors of the input told without a traceback."""

import functools
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import click

from shim.model import InputError

P = ParamSpec("P")
R = TypeVar("R")

INPUT_ERROR = 2

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def fail(error: InputError) -> NoReturn:
    """Print every problem on standard error and exit with 2."""
    for problem in error.problems:
        click.echo(f"error: {problem}", err=True)
    raise SystemExit(INPUT_ERROR)


def input_errors(command: Callable[P, R]) -> Callable[P, R]:
    """A command that fails in plain words when its input cannot be used."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            fail(error)

    return wrapped
