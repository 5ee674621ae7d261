"""Pictures for terminals of any size: what matters least gives way first."""

from collections.abc import Callable, Iterator, Sequence

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table

_APART = 3


class Stack:
    """Parts below each other, those that matter most first: as many as there are lines for.

    `rest` makes the last part from the number of lines that it may take, and takes so many at least
    and at most.
    """

    def __init__(
        self,
        parts: Sequence[RenderableType],
        rest: Callable[[int], RenderableType],
        *,
        least: int,
        most: int,
    ) -> None:
        self._parts = parts
        self._rest = rest
        self._least = least
        self._most = most

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        # Nothing is to be filled up to the height of the terminal.
        options = options.reset_height()
        heights = [len(console.render_lines(part, options)) for part in self._parts]
        left = console.height - 1  # the cursor's line
        spaced = sum(heights) + len(heights) + self._least <= left
        for part, height in zip(self._parts, heights, strict=True):
            if height > left:
                return
            yield part
            left -= height
            if spaced:
                yield ""
                left -= 1
        if left >= self._least:
            yield self._rest(min(left, self._most))


class Beside:
    """Tables beside each other, or, where there is no room for all, `instead`."""

    def __init__(self, *tables: Table, instead: Sequence[RenderableType]) -> None:
        self._tables = tables
        self._instead = instead

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        widths = [Measurement.get(console, options, table).maximum for table in self._tables]
        if sum(widths) + _APART * (len(widths) - 1) <= options.max_width:
            yield Columns(self._tables, padding=(0, _APART))
        else:
            yield Group(*self._instead)
