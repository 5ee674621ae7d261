"""One app that stayed away: its episode from the ledger, and the address of its trace."""

from dataclasses import dataclass

from rich.console import Console

from shim.demo.demo_screen import print_lines
from shim.demo.demo_service import DemoService
from shim.ledger.protocols import Episode, VerdictFilter
from shim.ledger.timeline import moments
from shim.model import Kind, Return, Role, seconds

FLUSH = 5.0
"""Seconds that the ledger and the collector get for what is still on its way."""

_NO_COLLECTOR = (
    "  its trace: nobody collects traces (docs/telemetry.md starts a backend); run the demo with",
    "    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317",
)


@dataclass(frozen=True, slots=True)
class LostApp:
    """The episode after which an app with the SDK did not come back.

    `collected` says whether a collector has taken all spans; None: there is no collector.
    """

    episode: Episode
    ledger: str
    collected: bool | None
    trace_url: str | None

    def show(self, console: Console, *, kept: bool) -> None:
        """Print the timeline; `kept`: the ledger can still be read afterwards."""
        verdict = self.episode.verdict
        lines = [
            "",
            "One app that stayed away, as the ledger has it: "
            f"episode {verdict.id}, {verdict.user}, {verdict.connection_kind}",
        ]
        for moment in moments(self.episode):
            after = seconds(moment.at - verdict.last_activity)
            lines.append(f"  {after:+6.2f} s  {moment.text}")
        trace = verdict.trace
        if trace is None or self.collected is None:
            lines += _NO_COLLECTOR
        else:
            shown = trace if self.trace_url is None else self.trace_url.replace("{trace_id}", trace)
            problem = "" if self.collected else " (the collector takes no spans)"
            lines.append(f"  its trace: {shown}{problem}")
        command = f"  its timeline: shim verdicts {verdict.id} --ledger"
        if kept:
            lines.append(f"{command} {self.ledger}")
        else:
            lines.append(f"{command} FILE (the demo keeps its ledger with --keep alone)")
        print_lines(console, lines)


def find_lost_app(service: DemoService) -> LostApp | None:
    """The last app that the candidate closed and that was lost; None: no app was. For a thread."""
    assembly = service.shim.assembly
    reader = assembly.reader
    lost = reader.outcomes(kind=Kind.APP, role=Role.CANDIDATE, result=Return.LOST, limit=1)
    if not lost:
        return None
    which = VerdictFilter(user=lost[0].user, acting=Role.CANDIDATE, until=lost[0].at)
    rows = reader.verdicts(which, limit=1).rows
    episode = reader.episode(rows[0].id) if rows else None
    if episode is None:
        return None
    collected = None
    if (tracing := assembly.records.tracing) is not None:
        collected = tracing.provider.force_flush(int(FLUSH * 1000))
    return LostApp(episode, reader.place, collected, assembly.settings.telemetry.trace_url)
