"""The gate's evidence, gathered from the ledger (R16)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from shim.gate import Evidence, KindEvidence, Observations, Observed, Sample, Shares
from shim.gate.observe import EPISODES
from shim.ledger.rows import RunRow, Wall
from shim.ledger.store import LedgerReader
from shim.model import Duration, Kind, Return, Role, VerdictName

_QUARANTINE = "quarantine"
_CHUNK = 10_000
_MANY_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class _Spans:
    """The epoch, up to now, and the period in it, which excludes its end."""

    epoch: Wall
    start: Wall
    end: Wall
    now: Wall


def gather(
    reader: LedgerReader,
    now: Wall,
    *,
    period: Duration,
    unit: Duration,
    expired_rules: tuple[str, ...] = (),
) -> Evidence:
    """What the ledger knows at `now`; `period` and `unit` are the settings `gate.period`, `gate.unit`.

    The epoch begins with the first of the latest runs that are judged alike. It takes about 3 s for a
    million episodes: call it in a thread. Raises InputError if the ledger cannot be read.
    """
    alike = _alike(reader.rows(RunRow, limit=_MANY_RUNS))
    if not alike:
        return Evidence(now, expired_rules=expired_rules)
    epoch, return_window = alike[-1].started_at, alike[0].return_window
    ends = [reader.watched(kind, epoch, now).both_until for kind in Kind]
    period_end = max((end for end in ends if end is not None), default=None)
    # Where there is no period, there is something to show all the same.
    last = now if period_end is None else period_end
    spans = _Spans(epoch, max(epoch, last - period), last + 1, now)
    failures: Counter[str] = Counter()
    for (role, _, call), count in reader.failures(spans.start, spans.end).items():
        if role is Role.CANDIDATE:
            failures[call] += count
    quarantines = failures.pop(_QUARANTINE, 0)
    return Evidence(
        now,
        None if period_end is None else spans.start,
        period_end,
        epoch,
        tuple(
            _of_kind(reader, kind, spans, unit, return_window)
            for kind in reader.kinds(spans.start, spans.end)
        ),
        failures.total(),
        quarantines,
        expired_rules,
    )


def _alike(runs: list[RunRow]) -> list[RunRow]:
    """The newest runs, as far back as monitors, comparison and version are the same."""
    for place, run in enumerate(runs):
        if (run.settings, run.version) != (runs[0].settings, runs[0].version):
            return runs[:place]
    return runs


def _of_kind(
    reader: LedgerReader, kind: Kind, spans: _Spans, unit: Duration, return_window: Duration
) -> KindEvidence:
    start, end = spans.start, spans.end
    whole, period = _agreement(reader, kind, spans, unit)
    # A loss is known when its window is over, so returns are not counted before either.
    judged = min(spans.now - return_window, end)
    counts = reader.counts(kind, start, end)
    conclusive = sum(
        count
        for (verdict, _), count in counts.all.items()
        if verdict in (VerdictName.MATCHED, VerdictName.MISMATCHED)
    )
    matched = counts.proving[VerdictName.MATCHED]
    mismatched = counts.proving[VerdictName.MISMATCHED]
    results = reader.results(kind, start, end)
    watched = reader.watched(kind, start, end)
    outcomes = {
        role: {result: results[role, result] for result in Return if results[role, result]}
        for role in Role
    }
    return KindEvidence(
        kind,
        Sample(period.shares, *_actions(reader, kind, start, judged)),
        Sample(
            whole.shares, *_actions(reader, kind, spans.epoch, spans.now - return_window)
        ),
        matched,
        mismatched,
        counts.proving[VerdictName.EXPECTED],
        counts.proving[VerdictName.INCONCLUSIVE],
        conclusive - matched - mismatched,
        period.users,
        period.unsettled,
        counts.days,
        {role: sum(results[role, result] for result in (None, *Return)) for role in Role},
        reader.proofs(kind, start, end),
        outcomes,
        watched.pings,
        watched.needed,
    )


def _agreement(
    reader: LedgerReader, kind: Kind, spans: _Spans, unit: Duration
) -> tuple[Observed, Observed]:
    """The users' observations over the epoch and over the period, in one pass."""
    whole, period = Observations(EPISODES, unit), Observations(EPISODES, unit)
    whole.extend(reader.agreements(kind, spans.epoch, spans.start))
    rows = reader.agreements(kind, spans.start, spans.end)
    while chunk := list(islice(rows, _CHUNK)):
        whole.extend(chunk)
        period.extend(chunk)
    whole.extend(reader.agreements(kind, spans.end, spans.now))
    return whole.observed(spans.now), period.observed(min(spans.end, spans.now))


def _actions(
    reader: LedgerReader, kind: Kind, since: Wall, until: Wall
) -> tuple[dict[Role, Shares], dict[Role, Shares]]:
    """By acting monitor, from users' first timeouts acted on: returns, and proofs of life."""
    returns, proofs = {}, {}
    for role in Role:
        rows = list(reader.settled(kind, role, since, until))
        settled = ((user, at, result) for user, at, result, _ in rows)
        returns[role] = _first(
            (user, at, result is Return.RETURNED)
            for user, at, result in settled
            if result in (Return.RETURNED, Return.LOST)
        )
        proofs[role] = _first((user, at, proof) for user, at, _, proof in rows)
    return returns, proofs


def _first(rows: Iterable[tuple[str, Wall, bool]]) -> Shares:
    observations, last = Observations(), 0
    rows = list(rows)
    observations.extend(rows)
    last = rows[-1][1] if rows else 0
    return observations.observed(last + 60_000_000).shares
