"""What the commands share: `--json`, options with a fixed set of words, times, and input errors without a
traceback."""

import functools
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from shim.cli.terminal import echo_error
from shim.model import InputError, seconds

if TYPE_CHECKING:
    from shim.ledger.rows import Wall
    from shim.settings.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


QUARANTINED = (
    "the candidate is in quarantine: the control acts for everyone until the shim restarts"
)

_GARBAGE = 200_000
"""Objects made between two garbage collections, for work that leaves hardly any garbage."""

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def word_option(name: str, words: Iterable[T], help: str) -> Callable[[F], F]:
    """An option whose value is one of these words, written as `str` writes them; None without the option.

    click gets only the texts, because later versions of click name the members of an enum otherwise.
    """
    by_text = {str(word): word for word in words}

    def read(context: click.Context, option: click.Parameter, text: str | None) -> T | None:
        return None if text is None else by_text[text]

    return click.option(name, type=click.Choice([*by_text]), callback=read, help=help)


def check_force(force: bool, reason: str | None) -> None:
    """Refuse `--force` without a reason; blanks are no reason."""
    if force and not (reason or "").strip():
        raise click.UsageError("--force needs --reason")


def read_settings(config: Path | None) -> "Settings":
    """The settings of a file, or the defaults. Raises InputError with every mistake in them."""
    # The imports take a fifth of a second; commands that ask a running shim need not wait for them.
    from shim.plugin.discovery import monitor_types, plugin_manager
    from shim.settings.settings import load_settings

    return load_settings(config, monitor_types(plugin_manager()))


def read_date(text: str) -> "Wall":
    """A date with or without a time of day (ISO 8601; local, if no zone). Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text).astimezone()
    except OverflowError as error:
        raise ValueError(str(error)) from None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def format_local(at: "Wall") -> str:
    """A time for a list of lines: local, to the second, without the zone."""
    return datetime.fromtimestamp(seconds(at)).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def input_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command print every problem of its input on standard error, and exit with 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except InputError as error:
            for problem in error.problems:
                echo_error(f"error: {problem}")
            raise SystemExit(2) from None

    return wrapped


def rough(seconds: float) -> str:
    """Format seconds for people, in one unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    for unit, length, next_length in (("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < next_length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


@contextmanager
def little_garbage() -> Iterator[None]:
    """Collect garbage less often, for work that makes many objects and few reference cycles."""
    before = gc.get_threshold()
    gc.set_threshold(_GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*before)
