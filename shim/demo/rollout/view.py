"""The rollout as it is seen while it plays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.demo.rollout.play import Mark, Play
from shim.demo.rollout.steps import STEPS
from shim.demo.serving import Served
from shim.demo.story import Stories
from shim.demo.tables import decisions, log_panel, right, table, verdicts
from shim.model import Stage

_BAR = 16
_TITLE = max(len(step.title) for step in STEPS)


@dataclass(slots=True)
class RolloutView:
    """The second act, for a `Screen`."""

    served: Served
    play: Play
    stories: Stories
    log: Iterable[str]
    factor: float
    seconds: float
    _told: int = field(default=0, init=False)

    interval = 0.25

    def heading(self) -> str:
        users = {story.client.user for story in self.stories.by_client}
        return (
            f"Act two, a rollout: {len(users)} users; an operator edits "
            f"{self.play.live_flags.path.name}; {self.factor:.3g} times as fast as the seed; "
            f"server: {self.served.url}"
        )

    def lines(self, elapsed: float) -> Iterator[str]:
        """A line for each step that has reached its goal."""
        done = [mark for mark in self.play.marks if mark.took is not None]
        for mark in done[self._told :]:
            stages = ", ".join(f"{stage} {mark.stages[stage]}" for stage in Stage)
            brake = "brake engaged" if self.play.braked else "brake released"
            yield f"{elapsed:5.1f} s  {mark.step.title}: {mark.step.goal}; open: {stages}; {brake}"
        self._told = len(done)

    def picture(self, elapsed: float) -> RenderableType:
        tally = self.served.house.tally
        header = Text.assemble(
            ("shim demo, act two: a rollout   ", "bold"),
            f"{elapsed:.0f} of about {self.seconds:.0f} s   ",
            *self._brake_and_guard(),
        )
        return Group(
            header,
            "",
            self._steps(),
            "",
            Columns([self._stages(), decisions(tally), verdicts(tally)], padding=(0, 4)),
            log_panel(self.log),
        )

    def _brake_and_guard(self) -> Iterator[str | tuple[str, str]]:
        reason = self.served.house.shim.router.brake_reason
        yield (
            ("brake released", "green")
            if reason is None
            else ("BRAKE ENGAGED", "bold white on red")
        )
        yield "   "
        holding = self.stories.guarding
        yield ("GUARD HOLDS", "bold white on red") if holding else ("guard calm", "green")

    def _steps(self) -> Text:
        """A line for each step; where the terminal is narrow, the goals give way."""
        marks = self.play.marks
        lines = []
        for number, step in enumerate(STEPS):
            mark = marks[number] if number < len(marks) else None
            title = (f"{step.title:{_TITLE}}  ", _style(mark))
            lines.append(Text.assemble(f"{_state(mark):>9}  ", title, (step.goal, "dim")))
        joined = Text("\n").join(lines)
        joined.no_wrap, joined.overflow = True, "ellipsis"
        return joined

    def _stages(self) -> Table:
        """How many open connections are at which stage, drawn as bars."""
        stages = self.play.stages()
        rows = table("stage", "open", "", "acting")
        for stage in Stage:
            length = round(_BAR * stages[stage] / max(1, stages.total()))
            bar = Text("█" * length, "green" if stage >= Stage.LIVE else "cyan")
            bar.pad_right(_BAR - length)
            rows.add_row(str(stage), str(stages[stage]), bar, stage.acting.value)
        return right(rows, 1)


def _state(mark: Mark | None) -> str:
    if mark is None:
        return ""
    return ">" if mark.took is None else f"✓ {mark.took:.1f} s"


def _style(mark: Mark | None) -> str:
    if mark is None:
        return "dim"
    return "bold" if mark.took is None else ""
