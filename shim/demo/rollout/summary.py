"""The rollout's summary: what the ledger tells, and a line for each check."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shim.demo.rollout.checks import Finding
from shim.demo.rollout.record import Record, timeline
from shim.demo.summary import show_lag


@dataclass(frozen=True, slots=True)
class RolloutSummary:
    """`objections` are those about the act as a whole."""

    record: Record
    findings: Sequence[Finding]
    objections: Sequence[str]
    fleet_lag: float
    factor: float

    @property
    def ok(self) -> bool:
        return not self.objections and all(finding.ok for finding in self.findings)

    def show(self, console: Console) -> None:
        console.print("\nWhat the ledger tells of the rollout:", highlight=False)
        for line in timeline(self.record):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        console.print()
        if console.is_terminal:
            self._show_table(console)
        else:
            self._show_lines(console)
        for objection in self.objections:
            console.print(f"FAILED: {objection}", style="bold red", markup=False)
        show_lag(console, self.fleet_lag, self.factor)

    def _show_table(self, console: Console) -> None:
        rows = Table("what had to happen", "what happened", "")
        for finding in self.findings:
            happened = "\n".join((finding.happened, *(f"! {text}" for text in finding.objections)))
            verdict = Text("ok", "green") if finding.ok else Text("FAILED", "bold red")
            rows.add_row(Text(finding.wanted), Text(happened), verdict)
        console.print(rows)

    def _show_lines(self, console: Console) -> None:
        for finding in self.findings:
            line = f"{'ok' if finding.ok else 'FAILED':6}  {finding.wanted}  ->  {finding.happened}"
            console.print(line, highlight=False, soft_wrap=True, markup=False)
            for objection in finding.objections:
                console.print(f"        ! {objection}", soft_wrap=True, markup=False)
