"""Tables that both acts show."""

from collections import Counter
from collections.abc import Iterable

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shim.aio import Shim
from shim.model import Kind, Return, Role, Stage, VerdictName
from shim.observers import Tally

_LOG_LINES = 5


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


def decisions(tally: Tally) -> Table:
    """What each monitor did, and what became of the clients."""
    rows = table("decisions", "acted", "recorded", "came back", "did not", "alive")
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


def verdicts(tally: Tally) -> Table:
    rows = table("verdicts", "")
    for name in VerdictName:
        rows.add_row(name.value, str(tally.verdicts[name]))
    return right(rows, 1)


def log_panel(lines: Iterable[str]) -> Panel:
    """The last lines of the log."""
    text = Text("\n".join(list(lines)[-_LOG_LINES:]), no_wrap=True, overflow="ellipsis")
    return Panel(text, title="log", title_align="left", height=_LOG_LINES + 2)
