"""The group of all commands: imports a command when it runs, and gives each end of a process its exit code.

0 ok; 1 the answer is no; 2 usage or input error; 3 no evidence; 70 an error that nobody expected, or an output
that cannot be written; 130 interrupted; 141 nobody reads the output any more.
"""

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from shim.cli.common import little_garbage
from shim.cli.terminal import echo_error, prepare_streams, silence_output
from shim.model.visible_text import show_invisible

UNEXPECTED, INTERRUPTED, NO_READER = 70, 130, 141

_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)
_EXPECTED = (click.exceptions.Exit, click.Abort)


class CommandGroup(click.Group):
    """`lazy` has the names of modules in `shim.cli`, each of which defines the command of its name.

    With each name comes what the command does, so that the help of the group imports no command.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        with little_garbage():
            command: click.Command = getattr(import_module(f"shim.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        prepare_streams()
        with _exit_codes():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _exit_codes():
            return super().invoke(ctx)

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except OSError:  # standard error cannot be written: nobody can be told anything
            sys.exit(UNEXPECTED)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Inside it no error ends the process with 1, which means that the answer is no."""
    try:
        yield
    except _EXPECTED:
        raise
    except click.ClickException as error:
        shown = "\n".join(map(show_invisible, error.message.split("\n")))
        error.message = shown  # type: ignore[misc]
        raise
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        silence_output()
        raise SystemExit(NO_READER) from None
    except Exception as error:
        if isinstance(error, OSError) and not error.filename and error.errno in _OUTPUT_ERRORS:
            silence_output()
            echo_error(f"error: the output cannot be written: {error.strerror}")
        else:
            echo_error(f"error: {describe_fault(error)}; {_keep_traceback(error)}")
        raise SystemExit(UNEXPECTED) from None


def describe_fault(error: Exception) -> str:
    """An error that nobody expected, in one line."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"this is a fault of the shim ({reason})"


def _keep_traceback(error: Exception) -> str:
    """Put the traceback where a person finds it; answer where that is."""
    lines = traceback.format_exception(error)
    try:
        handle, name = tempfile.mkstemp(prefix="shim-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(lines)
    except OSError:
        for line in "".join(lines).splitlines():
            echo_error(line)
        return "the traceback is above"
    return f"the traceback is in {name}"
