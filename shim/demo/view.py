"""Act one as it is seen while it plays."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.demo.scenario import DESCRIPTIONS, Behaviour
from shim.demo.serving import Served
from shim.demo.story import ABNORMAL, LEFT, Stories
from shim.demo.tables import decisions, log_panel, open_connections, right, table, verdicts
from shim.model import Kind, Return, Role, Stage, VerdictName, seconds

_FIGURES_WIDTH = 60


@dataclass(frozen=True, slots=True)
class View:
    """The first act, for a `Screen`."""

    served: Served
    stories: Stories
    log: Iterable[str]
    factor: float
    seconds: float
    console: Console

    interval = 5.0

    def heading(self) -> str:
        stories = self.stories.by_client
        users = {story.client.user for story in stories}
        return (
            f"Act one, every behaviour at every stage: {len(users)} users with {len(stories)} "
            f"clients for {self.seconds:.0f} s, {self.factor:g} times as fast as the seed; "
            f"server: {self.served.url}"
        )

    def lines(self, elapsed: float) -> Iterator[str]:
        tally = self.served.house.tally
        connections = open_connections(self.served.house.shim)
        stages = ", ".join(
            f"{stage} {sum(connections[stage, kind] for kind in Kind)}" for stage in Stage
        )
        acted = ", ".join(f"{role} {tally.decisions[role, True]}" for role in Role)
        verdicts = ", ".join(f"{tally.verdicts[name]} {name}" for name in VerdictName)
        returned = sum(tally.outcomes[role, Return.RETURNED] for role in Role)
        lost = sum(tally.outcomes[role, Return.LOST] for role in Role)
        yield (
            f"{elapsed:5.1f} s  open: {stages}; closed by: {acted}; "
            f"verdicts: {verdicts}; {returned} came back, {lost} did not"
        )

    def picture(self, elapsed: float) -> RenderableType:
        driver, tally = self.served.house.shim.driver, self.served.house.tally
        header = Text.assemble(
            ("shim demo, act one   ", "bold"),
            f"{elapsed:.0f} of {self.seconds:.0f} s "
            f"(seed: {elapsed * self.factor / 60:.1f} min)   "
            f"pauses of the server: {driver.pauses} ({seconds(driver.paused_for):.1f} s)",
        )
        return Group(
            header,
            "",
            Columns([self._connections(), decisions(tally), verdicts(tally)], padding=(0, 4)),
            "",
            self._behaviours(),
            log_panel(self.log),
        )

    def _connections(self) -> Table:
        rows = table("stage", *(kind.value for kind in Kind), "acting")
        connections = open_connections(self.served.house.shim)
        for stage in Stage:
            counts = (str(connections[stage, kind]) for kind in Kind)
            rows.add_row(str(stage), *counts, stage.acting.value)
        return right(rows, 1, 2)

    def _behaviours(self) -> Table:
        rows = table(
            *("clients", "", "number", "1001", "1006", "left"),
            *("survived", "back", "away"),
        )
        for behaviour in Behaviour:
            stories = [s for s in self.stories.by_client if s.client.behaviour is behaviour]
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
            rows.add_row(
                behaviour.value, DESCRIPTIONS[behaviour], str(len(stories)), *map(str, figures)
            )
        # Where the terminal is narrow, the descriptions give way.
        for column in rows.columns:
            column.no_wrap = True
        rows.columns[1].max_width = max(1, self.console.width - _FIGURES_WIDTH)
        return right(rows, *range(2, 9))
