"""The rollout as it is seen while it plays."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from shim.demo.rollout.play import Mark, Play
from shim.demo.rollout.steps import STEPS
from shim.demo.serving import Served
from shim.demo.story import Stories
from shim.demo.tables import line, picture, right, table
from shim.model import Stage

_BAR = 8
_TITLE = max(len(step.title) for step in STEPS)
_STEPS_WIDTH = 11 + _TITLE + 2
_SHORTEST_GOAL = 12


@dataclass(slots=True)
class RolloutView:
    """The second act, for a `Screen`."""

    served: Served
    play: Play
    stories: Stories
    log: Iterable[str]
    factor: float
    seconds: float
    console: Console
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
        heading = line(
            ("act two", "bold"),
            "   ",
            *self._brake_and_guard(),
            f"   {elapsed:.0f} of about {self.seconds:.0f} s",
        )
        tally, stages = self.served.shim.assembly.tally, self.play.stages()
        return picture(heading, self._steps(), self._stages(stages), tally, stages, self.log)

    def _brake_and_guard(self) -> Iterator[str | tuple[str, str]]:
        reason = self.served.shim.router.brake_reason
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
        room = self.console.width - _STEPS_WIDTH >= _SHORTEST_GOAL
        lines = []
        for number, step in enumerate(STEPS):
            mark = marks[number] if number < len(marks) else None
            title = (f"{step.title:{_TITLE}}  ", _style(mark))
            lines.append(
                Text.assemble(f"{_state(mark):>9}  ", title, (step.goal if room else "", "dim"))
            )
        joined = Text("\n").join(lines)
        joined.no_wrap, joined.overflow = True, "ellipsis"
        return joined

    def _stages(self, stages: Counter[Stage]) -> Table:
        """How many open connections are at which stage, drawn as bars."""
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
