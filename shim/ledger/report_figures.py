"""The report: plain counts of what happened, of a process since its start, or of a ledger in a period (R27).

Rules: docs/design.md#r7, docs/design.md#r14, docs/design.md#r27.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Meta

from shim.ledger.json_record import JsonRecord
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import Wall
from shim.model import SECOND, Duration, Return, Role, VerdictKind, VerdictName
from shim.model.time import DAY

PERIODS: Mapping[str, Duration] = {
    "15m": 900 * SECOND,
    "1h": 3_600 * SECOND,
    "6h": 21_600 * SECOND,
    "24h": DAY,
    "7d": 7 * DAY,
    "30d": 30 * DAY,
}
"""The periods that are asked for; each ends now."""

DEFAULT_PERIOD = "24h"


class Agreement(JsonRecord, frozen=True, kw_only=True):
    """Of the episodes that prove something (R14), how many ended `matched`; `share` None: there is none."""

    matched: int
    conclusive: int
    share: float | None


class ReportFigures(JsonRecord, frozen=True, kw_only=True):
    """What happened; each mapping has every key that there is, `kinds` apart.

    Attributes:
        decisions: by monitor, how many were `acted` on, and how many only `recorded`.
        kinds: the verdicts by kind, those that there were.
        late: decisions on a silence that had its verdict (R7).
        proofs_of_life: by monitor, how many clients were alive that it had closed.
    """

    decisions: dict[Role, dict[str, int]]
    verdicts: dict[VerdictName, int]
    kinds: dict[VerdictKind, int]
    improvements: Annotated[
        int,
        Meta(
            description="Episodes in which life proved the control wrong where the candidate waited "
            "(R14); they are not part of `agreement`."
        ),
    ]
    late: int
    agreement: Agreement
    outcomes: dict[Role, dict[Return, int]]
    proofs_of_life: dict[Role, int]
    failures: dict[Role, int]

    @classmethod
    def of(
        cls,
        *,
        decisions: Counter[tuple[Role, bool]],
        verdicts: Counter[VerdictName],
        kinds: Counter[VerdictKind],
        proving: Counter[VerdictName],
        improvements: int,
        late: int,
        outcomes: Counter[tuple[Role, Return | None]],
        proofs_of_life: Counter[Role],
        failures: Counter[Role],
    ) -> Self:
        """The figures of these counts; `decisions` by whether they were acted on."""
        matched = proving[VerdictName.MATCHED]
        conclusive = matched + proving[VerdictName.MISMATCHED]
        share = matched / conclusive if conclusive else None
        return cls(
            decisions={
                role: {"acted": decisions[role, True], "recorded": decisions[role, False]}
                for role in Role
            },
            verdicts={name: verdicts[name] for name in VerdictName},
            kinds=dict(kinds),
            improvements=improvements,
            late=late,
            agreement=Agreement(matched=matched, conclusive=conclusive, share=share),
            outcomes={role: {result: outcomes[role, result] for result in Return} for role in Role},
            proofs_of_life={role: proofs_of_life[role] for role in Role},
            failures={role: failures[role] for role in Role},
        )


def read_report(ledger: LedgerReader, since: Wall, until: Wall) -> ReportFigures:
    """What the ledger has of a period. Raises InputError where there is no ledger."""
    events, counts = ledger.event_counts(since, until), ledger.counts(None, since, until)
    verdicts: Counter[VerdictName] = Counter()
    kinds: Counter[VerdictKind] = Counter()
    for (name, kind), number in counts.all.items():
        verdicts[name] += number
        kinds[kind] += number
    return ReportFigures.of(
        decisions=events.decisions,
        verdicts=verdicts,
        kinds=kinds,
        proving=counts.proving,
        improvements=counts.improvements.total(),
        late=events.late,
        outcomes=ledger.results(None, since, until),
        proofs_of_life=ledger.proofs(None, since, until),
        failures=events.failures,
    )
