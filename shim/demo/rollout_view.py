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
from shim.demo.operator import Operator
from shim.demo.step_taker import RolloutStep
from shim.demo.step_view import StepView, figures_table
from shim.model import Stage, VerdictName

_CODES = {
    ABNORMAL: f"terminated ({ABNORMAL})",
    str(PRESCRIBED_CODE): f"closed with {PRESCRIBED_CODE}",
    str(BETTER_CODE): f"closed with {BETTER_CODE}",
}
_BAR = 12


class RolloutView(StepView):
    """For a screen: lines as things happen, and a picture of how they are."""

    def __init__(
        self, operator: Operator, steps: Sequence[RolloutStep[Operator]], factor: float
    ) -> None:
        super().__init__(operator, len(steps))
        self._operator = operator
        self._factor = factor

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

    def picture(self, elapsed: float) -> RenderableType:
        """How things are now."""
        operator = self._operator
        state = self.state(elapsed, braked=operator.braked, console=f"{operator.service.url}/")
        endings = figures_table("apps", "times", "back", "away")
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
        rows = figures_table("stage", "open", "")
        for stage in Stage:
            length = round(_BAR * stages[stage] / max(1, stages.total()))
            bar = Text("█" * length, "green" if stage >= Stage.LIVE else "cyan")
            bar.pad_right(_BAR - length)
            rows.add_row(str(stage), str(stages[stage]), bar)
        return rows
