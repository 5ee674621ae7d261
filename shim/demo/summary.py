"""The summary: a line for every behaviour at every stage, the comparison's figures, the finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from shim.demo.checks import Result
from shim.demo.scenario import TIMEOUT, Behaviour
from shim.model import Role, Stage

_LAG_WORTH_TELLING = 0.2
"""As a share of the timeout."""

_ROOMY = 110
"""Columns from which what had to happen and what did have room beside each other."""


@dataclass(frozen=True, slots=True)
class Summary:
    """`objections` are those about the run as a whole."""

    results: Sequence[Result]
    report: Mapping[str, Any]
    objections: Sequence[str]
    fleet_lag: float
    factor: float

    @property
    def ok(self) -> bool:
        return bool(self.results) and not self.objections and all(r.ok for r in self.results)

    def show(self, console: Console) -> None:
        if console.is_terminal and console.width < _ROOMY:
            self._show_narrow_table(console)
        elif console.is_terminal:
            self._show_table(console)
        else:
            self._show_lines(console)
        for objection in self.objections:
            console.print(f"FAILED: {objection}", style="bold red", markup=False)
        self._show_figures(console)
        show_lag(console, self.fleet_lag, self.factor)
        wrap = not console.is_terminal
        console.print(f"\n{self._finding()}", highlight=False, soft_wrap=wrap)
        failed = sum(not result.ok for result in self.results) + len(self.objections)
        if self.ok:
            console.print(f"ok: all {len(self.results)} lines are as they had to be", style="green")
        else:
            console.print(f"FAILED: {failed} of the checks", style="bold red")

    def _show_table(self, console: Console) -> None:
        table = Table("behaviour", "stage", "clients", "what had to happen", "what happened", "")
        for result in self.results:
            cell = result.cell
            table.add_row(
                cell.behaviour if cell.stage is Stage.OFF else "",
                str(cell.stage),
                str(result.clients),
                result.wanted,
                _happened(result),
                _verdict(result),
                end_section=cell.stage is Stage.COMPLETE,
            )
        console.print(table)

    def _show_narrow_table(self, console: Console) -> None:
        """What had to happen above what happened."""
        table = Table("stage", "what had to happen, what happened", "")
        for result in self.results:
            cell = result.cell
            first = cell.stage is Stage.OFF
            table.add_row(
                f"[bold]{cell.behaviour}[/]\n{cell.stage}" if first else str(cell.stage),
                f"{result.clients} clients: {result.wanted}\n{_happened(result)}",
                _verdict(result),
                end_section=cell.stage is Stage.COMPLETE,
            )
        console.print(table)

    def _show_lines(self, console: Console) -> None:
        for result in self.results:
            cell = result.cell
            line = (
                f"{'ok' if result.ok else 'FAILED':6}  {cell.behaviour:8}  {cell.stage!s:8}  "
                f"{result.clients:3} clients  {result.wanted}  ->  {result.happened}"
            )
            console.print(line, highlight=False, soft_wrap=True, markup=False)
            for objection in result.objections:
                console.print(f"        ! {objection}", soft_wrap=True, markup=False)

    def _show_figures(self, console: Console) -> None:
        report = self.report
        agreement = report["agreement"]
        share = "none" if agreement["share"] is None else f"{agreement['share']:.1%}"
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report["kinds"].items()))
        names = ", ".join(f"{count} {name}" for name, count in report["verdicts"].items())
        lines = [
            f"agreement: {share} ({agreement['matched']} matched of {agreement['conclusive']} "
            "episodes that the shadowing monitor decided first)",
            f"verdicts:  {names}; by kind: {kinds}; {report['late']} late",
        ]
        for role in Role:
            decisions, outcomes = report["decisions"][role.value], report["outcomes"][role.value]
            counts = ", ".join(f"{count} {name}" for name, count in outcomes.items())
            lines.append(
                f"{role.value + ':':10} acted {decisions['acted']}, "
                f"recorded {decisions['recorded']}; {counts}; "
                f"proofs of life: {report['proofs_of_life'][role.value]}"
            )
        pauses = report["pauses"]
        lines.append(f"the server paused {pauses['count']} times, {pauses['seconds']:.2f} s in all")
        if pauses["count"]:
            lines[-1] += ": the candidate's deadlines moved (R3) and are judged less strictly"
        for line in lines:
            console.print(line, highlight=False, soft_wrap=not console.is_terminal)

    def _finding(self) -> str:
        """What the SDK-like apps show, in figures of this run."""
        away = _sdk(self.results, (Stage.LIVE, Stage.COMPLETE))
        back = _sdk(self.results, (Stage.OFF, Stage.SHADOW))
        return (
            f"Finding: of {away[0]} SDK-like apps that the candidate closed with 1001, {away[1]} "
            f"stayed away; of {back[0]} that the control terminated (1006), {back[2]} came back. "
            "Both monitors decide alike about such apps; only the outcomes differ."
        )


def show_lag(console: Console, lag: float, factor: float) -> None:
    """Tell it where the fleet's process did not run for so long that this may be why things failed."""
    if lag > TIMEOUT / factor * _LAG_WORTH_TELLING:
        console.print(
            f"The fleet's process did not run for {lag:.2f} s at a time: this machine is too busy "
            "for this factor; a lower --factor gives it more time."
        )


def _verdict(result: Result) -> str:
    return "[green]ok[/]" if result.ok else "[bold red]FAILED[/]"


def _happened(result: Result) -> str:
    return "\n".join((result.happened, *(f"! {text}" for text in result.objections)))


def _sdk(results: Sequence[Result], stages: Sequence[Stage]) -> tuple[int, int, int]:
    """Of the SDK-like apps at these stages: those closed, those away, those back."""
    stories = [
        story
        for result in results
        if result.cell.behaviour is Behaviour.SDK and result.cell.stage in stages
        for story in result.cell.stories
        if story.closed
    ]
    return len(stories), sum(s.away for s in stories), sum(s.back > 0 for s in stories)
