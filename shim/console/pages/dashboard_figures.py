"""The dashboard's figures for one period, read from the ledger in a thread.

Rules: docs/design.md#r15.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from shim.gate.statistics import wilson
from shim.ledger.protocols import Bucket, LedgerReader, VerdictCounts, VerdictFilter, Worst
from shim.ledger.report_figures import PERIODS
from shim.ledger.rows import RunRow, VerdictRow, Wall
from shim.model import SECOND, Duration, Return, Role, VerdictKind, VerdictName
from shim.settings.settings import Settings

_BUCKETS = 60
_SKEW_STEPS = 8
_DELAY_STEPS = 24
_MOST_DELAYS = 1000
_LATEST = 6


@dataclass(frozen=True, slots=True)
class DashboardArm:
    """What became of the clients that one acting monitor closed; `None` counts those still open.

    `delays` counts the latest returns by delay, in steps of `DashboardFigures.delay_width`.
    """

    results: Mapping[Return | None, int]
    proofs: int
    delays: Mapping[Duration, int]

    @property
    def acted(self) -> int:
        return sum(self.results.values())

    @property
    def returned(self) -> int:
        return self.results.get(Return.RETURNED, 0)

    @property
    def settled(self) -> int:
        """Returns and losses: the rest says nothing about the closing (R15)."""
        return self.returned + self.results.get(Return.LOST, 0)

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.returned, self.settled)


@dataclass(frozen=True, slots=True)
class DashboardFigures:
    """Everything from `since` to `until`; the widths are those of the steps of the charts."""

    since: Wall
    until: Wall
    buckets: list[Bucket]
    counts: VerdictCounts
    skews: Mapping[Duration, int]
    skew_width: Duration
    arms: Mapping[Role, DashboardArm]
    delay_width: Duration
    users: list[Worst]
    packages: list[Worst]
    latest: list[VerdictRow]

    @property
    def matched(self) -> int:
        return self.counts.proving[VerdictName.MATCHED]

    @property
    def improvements(self) -> int:
        return self.counts.improvements.total()

    @property
    def commonest(self) -> list[tuple[tuple[VerdictName, VerdictKind], int]]:
        """Verdicts by name and kind, without improvements, the most frequent first."""
        improvements = {
            (name, VerdictKind.ONLY_CONTROL): count
            for name, count in self.counts.improvements.items()
        }
        return (self.counts.all - Counter(improvements)).most_common()

    @property
    def conclusive(self) -> int:
        return self.matched + self.counts.proving[VerdictName.MISMATCHED]

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.matched, self.conclusive)


def default_period(ledger: LedgerReader, now: Wall) -> str:
    """The shortest period that covers what the ledger has, at most a week."""
    runs = ledger.rows(RunRow)
    age = now - runs[-1].started_at if runs else 0
    return next((name for name in ("15m", "1h", "6h", "24h") if PERIODS[name] >= age), "7d")


def read_figures(
    ledger: LedgerReader, settings: Settings, since: Wall, until: Wall
) -> DashboardFigures:
    """Blocks; raises InputError where the ledger cannot be read."""
    comparison = settings.comparison
    skew_width = max(comparison.tolerance // _SKEW_STEPS, SECOND // 1000)
    delay_width = max(comparison.return_window // _DELAY_STEPS, SECOND // 1000)
    results, proofs = ledger.results(None, since, until), ledger.proofs(None, since, until)
    arms = {}
    for role in Role:
        returns = ledger.outcomes(
            role=role, result=Return.RETURNED, since=since, until=until, limit=_MOST_DELAYS
        )
        arms[role] = DashboardArm(
            {result: count for (of, result), count in results.items() if of is role},
            proofs[role],
            Counter(
                row.delay // delay_width * delay_width for row in returns if row.delay is not None
            ),
        )
    width = -(-(until - since) // _BUCKETS)
    return DashboardFigures(
        since=since,
        until=until,
        buckets=ledger.timeline(None, since, until, width),
        counts=ledger.counts(None, since, until),
        skews=ledger.skews(None, since, until, skew_width),
        skew_width=skew_width,
        arms=arms,
        delay_width=delay_width,
        users=ledger.worst("user", since, until, 6),
        packages=ledger.worst("package", since, until, 6),
        latest=ledger.verdicts(
            VerdictFilter(verdict=VerdictName.MISMATCHED, improvement=False, since=since),
            limit=_LATEST,
        ).rows,
    )
