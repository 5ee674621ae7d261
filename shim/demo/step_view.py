"""The steps of a demo as they are told while they are taken."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from shim.demo.step_taker import StepTaker


class StepView:
    """Tells of the steps as they begin, of what is done, and of what comes of it.

    `count` is how many steps there are.
    """

    def __init__(self, taker: StepTaker, count: int) -> None:
        self._taker = taker
        self._count = count
        self._begun = self._reached = self._said = 0

    def lines(self, elapsed: float) -> Iterator[str]:
        """What is new: each step as it begins, what was done, and what came of it."""
        progress = self._taker.progress
        while True:
            if self._reached < self._begun:
                present = progress[self._reached]
                finished = present.took is not None
                yield from (f"   {line}" for line in present.said[self._said :])
                self._said = len(present.said)
                if not finished:
                    return
                self._reached, self._said = self._reached + 1, 0
                stages = ", ".join(f"{n} {stage}" for stage, n in sorted(present.stages.items()))
                yield f"   ✓ {present.step.goal} (after {present.took:.1f} s; connections: {stages})"
            elif self._begun < len(progress):
                step = progress[self._begun].step
                self._begun += 1
                yield ""
                yield f"{elapsed:.1f} s  {self._begun}/{self._count}  {step.title}"
                yield f"   {step.explanation}"
            else:
                return

    def state(self, elapsed: float, *, braked: bool, console: str) -> Text:
        """One line: the time, the steps that were begun, the brake, and where the console is."""
        state = Text.assemble(
            f"{elapsed:3.0f} s   step ",
            f"{len(self._taker.progress)} of {self._count}   ",
            ("BRAKE ENGAGED", "bold white on red") if braked else ("no brake", "green"),
            f"   console: {console}",
        )
        state.no_wrap, state.overflow = True, "ellipsis"
        return state


def figures_table(*columns: str) -> Table:
    """A table without borders: names in the first column, figures in the others."""
    rows = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        rows.add_column(column, justify="right" if number and column else "left", no_wrap=True)
    return rows
