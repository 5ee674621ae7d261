"""The rollout as it is seen while it runs."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shim.demo.client_history import ABNORMAL, CodeFigures
from shim.demo.demo_clients import TIMEOUT
from shim.demo.demo_settings import BETTER_CODE, PRESCRIBED_CODE
from shim.demo.operator import Operator, RolloutStep
from shim.model import Stage, VerdictName

_CODES = {
    ABNORMAL: f"terminated ({ABNORMAL})",
    str(PRESCRIBED_CODE): f"closed with {PRESCRIBED_CODE}",
    str(BETTER_CODE): f"closed with {BETTER_CODE}",
}
_BAR = 12


class RolloutView:
    """For a screen: lines as things happen, and a picture of how they are."""

    def __init__(self, operator: Operator, steps: Sequence[RolloutStep], factor: float) -> None:
        self._operator = operator
        self._steps = steps
        self._factor = factor
        self._begun = self._reached = 0

    def heading(self) -> Iterator[str]:
        """Lines to begin with."""
        clients = self._operator.histories.all
        users = {history.client.user for history in clients}
        service = self._operator.service
        yield (
            f"A service with {len(clients)} WebSocket clients of {len(users)} users replaces its health "
            "monitor. The shim runs the old monitor, the control, and the new one, the candidate, beside "
            f"each other. Time runs {self._factor:.3g} times as fast as in a real service: a connection "
            f"times out after {TIMEOUT / self._factor:.3g} s instead of {TIMEOUT:g} s."
        )
        yield f"Console: {service.url}/ (log in with the token, or once by this link)"
        yield service.login_link()
        yield f"SHIM_OPERATOR_TOKEN={service.secrets.operator_token}"

    def lines(self, elapsed: float) -> Iterator[str]:
        """What is new: each step as it begins, and what came of it."""
        progress = self._operator.progress
        while True:
            if self._reached < self._begun and progress[self._reached].took is not None:
                done = progress[self._reached]
                self._reached += 1
                stages = ", ".join(f"{n} {stage}" for stage, n in sorted(done.stages.items()))
                yield f"   ✓ {done.step.goal} (after {done.took:.1f} s; connections: {stages})"
            elif self._begun < len(progress):
                step = progress[self._begun].step
                self._begun += 1
                yield ""
                yield f"{elapsed:.1f} s  {self._begun}/{len(self._steps)}  {step.title}"
                yield f"   {step.explanation}"
            else:
                return

    def picture(self, elapsed: float) -> RenderableType:
        """How things are now."""
        operator = self._operator
        state = Text.assemble(
            f"{elapsed:3.0f} s   step ",
            f"{len(operator.progress)} of {len(self._steps)}   ",
            ("BRAKE ENGAGED", "bold white on red") if operator.braked else ("no brake", "green"),
            f"   console: {operator.service.url}/",
        )
        state.no_wrap, state.overflow = True, "ellipsis"
        endings = _table("apps", "times", "back", "away")
        for how, words in _CODES.items():
            figures = CodeFigures.of(operator.histories.sdk_apps, how)
            away = Text(str(figures.away), "bold red" if figures.away else "")
            endings.add_row(words, str(figures.ended), str(figures.back), away)
        tables = Columns((self._stages(operator.stages()), endings), padding=(0, 4))
        total = operator.histories.total
        agreement = (
            f"Both monitors decided alike {total(VerdictName.MATCHED)} times, "
            f"otherwise {total(VerdictName.MISMATCHED)} times."
        )
        return Group("", state, "", tables, "", agreement)

    def _stages(self, stages: Counter[Stage]) -> Table:
        """How many open connections are at which stage, drawn as bars."""
        rows = _table("stage", "open", "")
        for stage in Stage:
            length = round(_BAR * stages[stage] / max(1, stages.total()))
            bar = Text("█" * length, "green" if stage >= Stage.LIVE else "cyan")
            bar.pad_right(_BAR - length)
            rows.add_row(str(stage), str(stages[stage]), bar)
        return rows


def _table(*columns: str) -> Table:
    """A table without borders: names in the first column, figures in the others."""
    rows = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        rows.add_column(column, justify="right" if number and column else "left", no_wrap=True)
    return rows
