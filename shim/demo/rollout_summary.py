"""The summary of the demo: a line for each decisive check, and what is to be learned from the rollout."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shim.demo.client_history import ClientHistory, CodeFigures
from shim.demo.demo_clients import TIMEOUT
from shim.demo.demo_screen import print_lines
from shim.demo.demo_settings import BETTER_CODE, PRESCRIBED_CODE
from shim.demo.rollout_checks import CheckResult

_LAG_WORTH_SAYING = 0.2
"""As a share of the timeout."""


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """`lesson` is what is to be learned, `client_lag` is the longest time in seconds for which the clients'
    process did not run."""

    checks: Sequence[CheckResult]
    lesson: str
    client_lag: float
    factor: float

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks)

    def show(self, console: Console) -> None:
        console.print()
        if console.is_terminal:
            rows = Table("", "what has to happen", "what happened", box=None, pad_edge=False)
            for check in self.checks:
                mark = Text("ok", "green") if check.ok else Text("FAILED", "bold red")
                rows.add_row(mark, Text(check.wanted), Text(check.happened))
            console.print(rows)
        else:
            print_lines(console, map(str, self.checks))
        if self.client_lag > TIMEOUT / self.factor * _LAG_WORTH_SAYING:
            lag = (
                f"The clients' process did not run for {self.client_lag:.2f} s at a time: this machine "
                "is too busy for this factor; a lower --factor gives it more time."
            )
            print_lines(console, [lag])
        print_lines(console, ["", self.lesson])
        if self.ok:
            console.print("ok: the rollout went as it has to", style="green")
        else:
            failed = "; ".join(check.wanted for check in self.checks if not check.ok)
            console.print(f"FAILED: {failed}", style="bold red", markup=False)


def learn_of_codes(apps: Sequence[ClientHistory]) -> str:
    """What the apps with the SDK did after each close code."""
    prescribed = CodeFigures.of(apps, str(PRESCRIBED_CODE))
    better = CodeFigures.of(apps, str(BETTER_CODE))
    return (
        f"The monitors agreed on who is gone. Still, {prescribed.away} of {prescribed.ended} apps stayed "
        f"away after close code {PRESCRIBED_CODE}, and {better.away} of {better.ended} after "
        f"{BETTER_CODE}. Therefore the shim compares outcomes, not only decisions."
    )
