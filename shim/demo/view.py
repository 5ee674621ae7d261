"""The live view: four times a second at most; plain lines where there is no terminal."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shim.aio import Shim
from shim.demo.scenario import DESCRIPTIONS, Behaviour
from shim.demo.story import ABNORMAL, LEFT, Stories
from shim.model import Kind, Return, Role, Stage, VerdictName, seconds
from shim.observers import Tally

_LIVE_INTERVAL = 0.25
_PLAIN_INTERVAL = 5.0
_LOG_LINES = 5
_FIGURES_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Scene:
    """What is looked at."""

    shim: Shim
    tally: Tally
    stories: Stories
    log: Iterable[str]
    url: str
    factor: float
    seconds: float

    def open_connections(self) -> Counter[tuple[Stage, Kind]]:
        return Counter(
            (tracked.stage, tracked.connection.kind)
            for tracked in self.shim.router.connections()
            if tracked.closed_by is None
        )


class View:
    """A context; `refresh` inside it."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._console = console
        self._started = time.monotonic()
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
        self.interval = _LIVE_INTERVAL if self._live else _PLAIN_INTERVAL

    def __enter__(self) -> "View":
        scene = self._scene
        stories = scene.stories.by_client
        users = {story.client.user for story in stories}
        self._console.print(
            f"{len(users)} users with {len(stories)} clients for {scene.seconds:g} s, "
            f"{scene.factor:g} times as fast as the seed; server: {scene.url}",
            highlight=False,
            soft_wrap=True,
        )
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def refresh(self, *, last: bool = False) -> None:
        if self._live:
            self._live.update(self._picture(), refresh=True)
        else:
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _line(self) -> str:
        scene, tally = self._scene, self._scene.tally
        connections = scene.open_connections()
        stages = ", ".join(
            f"{stage} {sum(connections[stage, kind] for kind in Kind)}" for stage in Stage
        )
        acted = ", ".join(f"{role} {tally.decisions[role, True]}" for role in Role)
        verdicts = ", ".join(f"{tally.verdicts[name]} {name}" for name in VerdictName)
        returned = sum(tally.outcomes[role, Return.RETURNED] for role in Role)
        lost = sum(tally.outcomes[role, Return.LOST] for role in Role)
        return (
            f"{self._elapsed:5.1f} s  open: {stages}; closed by: {acted}; "
            f"verdicts: {verdicts}; {returned} came back, {lost} did not"
        )

    def _picture(self) -> RenderableType:
        scene = self._scene
        driver = scene.shim.driver
        header = Text.assemble(
            ("shim demo ", "bold"),
            f"{self._elapsed:.0f} of {scene.seconds:.0f} s "
            f"(seed: {self._elapsed * scene.factor / 60:.1f} min)   "
            f"pauses of the server: {driver.pauses} ({seconds(driver.paused_for):.1f} s)",
        )
        return Group(
            header,
            "",
            Columns([self._connections(), self._decisions(), self._verdicts()], padding=(0, 4)),
            "",
            self._behaviours(),
            Panel(
                Text("\n".join(list(scene.log)[-_LOG_LINES:])),
                title="log",
                title_align="left",
                height=_LOG_LINES + 2,
            ),
        )

    def _connections(self) -> Table:
        table = _table("stage", *(kind.value for kind in Kind), "acting")
        open_connections = self._scene.open_connections()
        for stage in Stage:
            counts = (str(open_connections[stage, kind]) for kind in Kind)
            table.add_row(str(stage), *counts, stage.acting.value)
        return _right(table, 1, 2)

    def _decisions(self) -> Table:
        tally = self._scene.tally
        table = _table("decisions", "acted", "recorded", "came back", "did not", "alive")
        for role in Role:
            figures = (
                tally.decisions[role, True],
                tally.decisions[role, False],
                tally.outcomes[role, Return.RETURNED],
                tally.outcomes[role, Return.LOST],
                tally.proofs_of_life[role],
            )
            table.add_row(role.value, *map(str, figures))
        return _right(table, *range(1, 6))

    def _verdicts(self) -> Table:
        tally = self._scene.tally
        table = _table("verdicts", "")
        for name in VerdictName:
            table.add_row(name.value, str(tally.verdicts[name]))
        return _right(table, 1)

    def _behaviours(self) -> Table:
        table = _table(
            *("clients", "", "number", "1001", "1006", "left"),
            *("survived", "back", "away"),
        )
        for behaviour in Behaviour:
            stories = [s for s in self._scene.stories.by_client if s.client.behaviour is behaviour]
            endings: Counter[str] = Counter()
            for story in stories:
                endings += story.endings
            figures = (
                endings["1001"],
                endings[ABNORMAL],
                endings[LEFT],
                sum(story.survived for story in stories),
                sum(story.back for story in stories),
                sum(story.away for story in stories),
            )
            table.add_row(
                behaviour.value, DESCRIPTIONS[behaviour], str(len(stories)), *map(str, figures)
            )
        # Where the terminal is narrow, the descriptions give way.
        for column in table.columns:
            column.no_wrap = True
        table.columns[1].max_width = max(1, self._console.width - _FIGURES_WIDTH)
        return _right(table, *range(2, 9))


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, header_style="bold", pad_edge=False)


def _right(table: Table, *columns: int) -> Table:
    for column in columns:
        table.columns[column].justify = "right"
    return table
