"""One mismatch of the run: its timeline, and where its trace can be seen."""

import asyncio
from dataclasses import dataclass

from rich.console import Console

from shim.demo.serving import Served
from shim.ledger import VerdictFilter
from shim.ledger.protocols import Episode
from shim.ledger.timeline import moments
from shim.model import VerdictName, seconds

_FLUSH = 5.0
"""Seconds that the ledger and the collector get for what is still on its way."""

_NO_COLLECTOR = (
    "  its trace: nobody collects traces. Start a backend, as with\n"
    "    docker run --rm -p 16686:16686 -p 4317:4317 jaegertracing/jaeger\n"
    "  and run the demo with OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 "
    "(docs/telemetry.md has more)"
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An episode in which the candidate alone decided, and the client was alive.

    `collected` says whether a collector has taken all spans; None: there is none.
    """

    episode: Episode
    ledger: str
    collected: bool | None
    trace_url: str | None

    def show(self, console: Console, *, kept: bool) -> None:
        """Tell it; `kept`: the ledger is still there to be asked."""
        for line in (*self._story(), self._trace(), self._command(kept)):
            console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _story(self) -> list[str]:
        verdict = self.episode.verdict
        who = f"{verdict.user}, {verdict.connection_kind}"
        lines = [f"One mismatch of act one, as the ledger has it: episode {verdict.id}, {who}"]
        for moment in moments(self.episode):
            after = seconds(moment.at - verdict.last_activity)
            lines.append(f"  {after:+6.2f} s  {moment.text}")
        return lines

    def _trace(self) -> str:
        trace = self.episode.verdict.trace
        if trace is None or self.collected is None:
            return _NO_COLLECTOR
        shown = trace if self.trace_url is None else self.trace_url.replace("{trace_id}", trace)
        return f"  its trace: {shown}" + (
            "" if self.collected else " (the collector takes no spans)"
        )

    def _command(self, kept: bool) -> str:
        ledger = self.ledger if kept else "FILE"
        command = f"  its timeline: shim verdicts {self.episode.verdict.id} --ledger {ledger}"
        return command if kept else f"{command} (the demo keeps its ledger with --keep alone)"


async def find_mismatch(served: Served) -> Mismatch | None:
    """The last one; None: there was none."""
    return await asyncio.to_thread(_find, served)


def _find(served: Served) -> Mismatch | None:
    assembly = served.shim.assembly
    assembly.records.ledger.flush(_FLUSH)
    which = VerdictFilter(verdict=VerdictName.MISMATCHED, recovered=True)
    rows = assembly.reader.verdicts(which, limit=1).rows
    episode = assembly.reader.episode(rows[0].id) if rows else None
    if episode is None:
        return None
    collected = None
    if assembly.records.tracing is not None:
        collected = assembly.records.tracing.provider.force_flush(int(_FLUSH * 1000))
    telemetry = assembly.settings.telemetry
    return Mismatch(episode, assembly.reader.place, collected, telemetry.trace_url)
