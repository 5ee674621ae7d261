"""Act one as it is seen while it plays."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table

from shim.demo.scenario import DESCRIPTIONS, Behaviour
from shim.demo.serving import Served
from shim.demo.story import ABNORMAL, LEFT, Stories
from shim.demo.tables import line, open_connections, picture, right, table
from shim.model import Kind, Return, Role, Stage, VerdictName, seconds

_FIGURES_WIDTH = 60
_SHORTEST_DESCRIPTION = 12

# First what the migration may break.
_ORDER = (Behaviour.SDK, *(behaviour for behaviour in Behaviour if behaviour is not Behaviour.SDK))


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
        tally = self.served.shim.assembly.tally
        connections = open_connections(self.served.shim)
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
        driver = self.served.shim.driver
        heading = line(
            ("act one", "bold"),
            f"   {elapsed:.0f} of {self.seconds:.0f} s "
            f"(seed: {elapsed * self.factor / 60:.1f} min)   "
            f"pauses: {driver.pauses} ({seconds(driver.paused_for):.1f} s)",
        )
        connections = open_connections(self.served.shim)
        stages = table("stage", *(kind.value for kind in Kind), "acting")
        open_now: Counter[Stage] = Counter()
        for stage in Stage:
            counts = [connections[stage, kind] for kind in Kind]
            stages.add_row(str(stage), *map(str, counts), stage.acting.value)
            open_now[stage] = sum(counts)
        return picture(
            heading,
            self._behaviours(),
            right(stages, 1, 2),
            self.served.shim.assembly.tally,
            open_now,
            self.log,
        )

    def _behaviours(self) -> Table:
        # Where the terminal is narrow, the descriptions give way.
        room = self.console.width - _FIGURES_WIDTH
        described = room >= _SHORTEST_DESCRIPTION
        rows = table("clients", "number", "1001", "1006", "left", "survived", "back", "away")
        right(rows, *range(1, 8))
        if described:
            rows.add_column(max_width=room)
        for behaviour in _ORDER:
            stories = [s for s in self.stories.by_client if s.client.behaviour is behaviour]
            endings: Counter[str] = Counter()
            for story in stories:
                endings += story.endings
            figures = (
                len(stories),
                endings["1001"],
                endings[ABNORMAL],
                endings[LEFT],
                sum(story.survived for story in stories),
                sum(story.back for story in stories),
                sum(story.away for story in stories),
            )
            description = (DESCRIPTIONS[behaviour],) if described else ()
            rows.add_row(behaviour.value, *map(str, figures), *description)
        for column in rows.columns:
            column.no_wrap = True
        return rows
