"""Standard output and standard error of all commands: what comes from outside is shown as text.

No markup, no emoji codes, no escape sequences: what is invisible is shown escaped
(`shim/model/visible_text.py`), also a line end, so each call prints one line. A character that the
terminal's encoding lacks is replaced by a similar one of ASCII, or escaped.
"""

import codecs
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from shim.model.visible_text import is_visible, show_invisible

_SIMILAR = {
    "…": "...",
    "✓": "+",
    "✗": "x",
    "━": "=",
    "─": "-",
    "│": "|",
    "█": "#",
    "·": ".",
    "–": "-",
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "×": "x",
}
"""What the commands print themselves, in ASCII."""

_ENCODING_ERRORS = "shim-similar"
_STANDARD_FILES = (0, 1, 2)


def _encode_similar(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    shown = "".join(
        _SIMILAR.get(letter) or letter.encode("ascii", "backslashreplace").decode()
        for letter in letters
    )
    return shown, error.end


codecs.register_error(_ENCODING_ERRORS, _encode_similar)


def prepare_streams() -> None:
    """Let every text be printed, whatever the encoding. No file of the shim gets a closed stream's number."""
    for number in _STANDARD_FILES:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ENCODING_ERRORS)


def silence_output() -> None:
    """Let standard output lead nowhere: nobody reads it, or there is no room for it."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def echo(text: str = "", **style: Any) -> None:
    """Print one line on standard output, in this style (as of `click.style`)."""
    shown = show_invisible(text)
    # Without the file click would write UTF-8 where Python was told that the terminal is ASCII.
    click.echo(click.style(shown, **style) if style else shown, file=sys.stdout)


def echo_error(text: str) -> None:
    """Print one line on standard error; nobody could be told of an error there."""
    with suppress(OSError):
        click.echo(show_invisible(text), file=sys.stderr, err=True)


def print_json(answer: Any, indent: int | None = None) -> None:
    """Print JSON, in one line unless there is an indent. It is ASCII, so nothing in it is invisible."""
    click.echo(json.dumps(answer, indent=indent))


def figures_table(*columns: str) -> Table:
    """A table without lines: names in the first column, figures in the others."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def plain(text: str, style: str = "") -> Text:
    """A text from outside as a part of what a console shows."""
    return Text(show_invisible(text), style)


class TextConsole(Console):
    """A console that shows each text as it is: in one line, without markup, nothing invisible in it."""

    def __init__(self, *, width: int | None = None, stderr: bool = False) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, width=width, stderr=stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        kept = ("style", "justify", "overflow")
        return Text(
            show_invisible(text), **{name: options[name] for name in kept if options.get(name)}
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        if isinstance(renderable, Text) and not is_visible(renderable.plain):
            renderable = renderable.blank_copy(show_invisible(renderable.plain))
        return super().render(renderable, options)

    def on_broken_pipe(self) -> NoReturn:
        raise


def console_for(*, width: int | None = 200) -> TextConsole:
    """Standard output; `width` columns where the output is no terminal, so that lines stay whole.

    The variable `COLUMNS` has priority.
    """
    console = TextConsole()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return TextConsole(width=width)


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal; it is moved by a call with what is done of `total`."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done: None
        return
    # The import takes a tenth of a second; most commands show no progress.
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(title), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=TextConsole(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
