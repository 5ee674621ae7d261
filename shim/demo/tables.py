"""What both acts show."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shim.aio import Shim
from shim.demo.layout import Beside, Stack
from shim.model import Kind, Return, Role, Stage, VerdictName
from shim.runtime.tally import Tally

_LOG_LINES = 5
_BORDER = 2


def table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold", pad_edge=False)


def right(table: Table, *columns: int) -> Table:
    for column in columns:
        table.columns[column].justify = "right"
    return table


def open_connections(shim: Shim) -> Counter[tuple[Stage, Kind]]:
    """Those that no monitor has closed."""
    return Counter(
        (tracked.stage, tracked.connection.kind)
        for tracked in shim.router.connections()
        if tracked.closed_by is None
    )


def line(*parts: str | tuple[str, str]) -> Text:
    """One line, cut off where the terminal ends."""
    text = Text.assemble(*parts)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def picture(
    heading: Text,
    main: RenderableType,
    stages: Table,
    tally: Tally,
    open: Counter[Stage],
    log: Iterable[str],
) -> Stack:
    """An act: its heading, what it is about, the figures of both monitors, the log."""
    acted, compared = _decisions(tally), _verdicts(tally)
    figures = Beside(
        stages,
        acted,
        compared,
        instead=(
            acted,
            _counts(tally.verdicts, VerdictName),
            _counts(open, Stage, "open  "),
        ),
    )
    return Stack(
        (heading, main, figures),
        lambda height: _log_panel(log, height),
        least=1 + _BORDER,
        most=_LOG_LINES + _BORDER,
    )


def _decisions(tally: Tally) -> Table:
    """What each monitor did, and what became of the clients."""
    rows = table("decisions", "acted", "recorded", "back", "lost", "alive")
    for role in Role:
        figures = (
            tally.decisions[role, True],
            tally.decisions[role, False],
            tally.outcomes[role, Return.RETURNED],
            tally.outcomes[role, Return.LOST],
            tally.proofs_of_life[role],
        )
        rows.add_row(role.value, *map(str, figures))
    return right(rows, *range(1, 6))


def _verdicts(tally: Tally) -> Table:
    rows = table("verdicts", "")
    for name in VerdictName:
        rows.add_row(name.value, str(tally.verdicts[name]))
    return right(rows, 1)


def _counts(counts: Mapping[Any, int], names: Iterable[Any], title: str = "") -> Text:
    """The same as a table of names and numbers, in one line."""
    return line((title, "bold"), "  ".join(f"{name} {counts[name]}" for name in names))


def _log_panel(lines: Iterable[str], height: int) -> Panel:
    """The last lines of the log."""
    last = list(lines)[_BORDER - height :]
    text = Text("\n".join(last), no_wrap=True, overflow="ellipsis")
    return Panel(text, title="log", title_align="left", height=height)
