"""Sums over the ledger's rows: the figures of the dashboard.

Rules: docs/design.md#r14.
"""

from collections import Counter, defaultdict
from typing import Literal

from shim.ledger.protocols import Bucket, EventCounts, VerdictCounts, Worst
from shim.ledger.queries.snapshot import Conditions, SnapshotReader, quoted
from shim.ledger.rows import Wall
from shim.model import Duration, Kind, Return, Role, VerdictKind, VerdictName

IMPROVEMENT = "(kind = 'only_control' AND recovered)"
"""Whether a verdict is an improvement (R14), as SQL."""


class Figures(SnapshotReader):
    """Each sum takes one statement or a few."""

    def results(
        self, kind: Kind | None, since: Wall, until: Wall
    ) -> Counter[tuple[Role, Return | None]]:
        where = _period(kind, since, until, "acted_at")
        found = self.ask(
            f"SELECT role, result, count(*) FROM action {where} GROUP BY role, result",
            *where.values,
        )
        return Counter(
            {
                (Role(role), None if result is None else Return(result)): count
                for role, result, count in found
            }
        )

    def proofs(self, kind: Kind | None, since: Wall, until: Wall) -> Counter[Role]:
        where = _period(kind, since, until)
        found = self.ask(f"SELECT role, count(*) FROM proof {where} GROUP BY role", *where.values)
        return Counter({Role(role): count for role, count in found})

    def counts(self, kind: Kind | None, since: Wall, until: Wall) -> VerdictCounts:
        counts = VerdictCounts(Counter(), Counter(), Counter())
        for one in Kind if kind is None else (kind,):
            self._count_unproving(counts, _period(one, since, until))
            self._count_agreed(counts, _period(one, since, until))
        return counts

    def event_counts(self, since: Wall, until: Wall) -> EventCounts:
        where = _period(None, since, until)
        decisions = self.ask(
            f"SELECT role, acted, count(*) FROM decision {where} GROUP BY role, acted",
            *where.values,
        )
        ((late,),) = self.ask(f"SELECT count(*) FROM late {where}", *where.values)
        failures = self.ask(
            f"SELECT role, count(*) FROM failure {where} GROUP BY role", *where.values
        )
        return EventCounts(
            Counter({(Role(role), bool(acted)): count for role, acted, count in decisions}),
            late,
            Counter({Role(role): count for role, count in failures}),
        )

    # Each of these two has an index that knows all it asks for.

    def _count_unproving(self, counts: VerdictCounts, where: Conditions) -> None:
        where.add("agreed IS NULL")
        self._count(
            counts,
            f"SELECT verdict, kind, proving, rule, {IMPROVEMENT} AS improvement, count(*) "
            f"FROM verdict {where} GROUP BY verdict, kind, proving, rule, improvement",
            where,
        )

    def _count_agreed(self, counts: VerdictCounts, where: Conditions) -> None:
        where.add("agreed IS NOT NULL")
        self._count(
            counts,
            "SELECT CASE WHEN agreed THEN 'matched' ELSE 'mismatched' END, kind, 1, rule, 0, count(*) "
            f"FROM verdict {where} GROUP BY agreed, kind, rule",
            where,
        )

    def _count(self, counts: VerdictCounts, statement: str, where: Conditions) -> None:
        for verdict, of, proving, rule, improvement, count in self.ask(statement, *where.values):
            counts.all[VerdictName(verdict), VerdictKind(of)] += count
            if improvement:
                counts.improvements[VerdictName(verdict)] += count
            elif proving:
                counts.proving[VerdictName(verdict)] += count
            if rule is not None:
                counts.rules[rule] += count

    def timeline(
        self, kind: Kind | None, since: Wall, until: Wall, width: Duration
    ) -> list[Bucket]:
        where = _period(kind, since, until)
        buckets: dict[Wall, Bucket] = {}
        statement = (
            f"SELECT (at - ?) / ?, verdict, proving AND NOT {IMPROVEMENT}, count(*) FROM verdict "
            f"{where} GROUP BY 1, 2, 3 ORDER BY 1"
        )
        for place, verdict, proving, count in self.ask(statement, since, width, *where.values):
            begin = since + place * width
            bucket = buckets.setdefault(begin, Bucket(begin))
            bucket.verdicts[VerdictName(verdict)] += count
            if proving:
                bucket.proving[VerdictName(verdict)] += count
        return list(buckets.values())

    def skews(
        self, kind: Kind | None, since: Wall, until: Wall, width: Duration
    ) -> dict[Duration, int]:
        where = _period(kind, since, until)
        counts: defaultdict[Duration, int] = defaultdict(int)
        # The engines divide integers towards zero, a histogram divides downwards.
        statement = (
            "SELECT CAST(floor(CAST(control_at - candidate_at AS DOUBLE PRECISION) / ?) AS BIGINT), count(*) "
            f"FROM verdict {where} AND control_at IS NOT NULL AND candidate_at IS NOT NULL "
            "GROUP BY 1 ORDER BY 1"
        )
        for place, count in self.ask(statement, width, *where.values):
            counts[place * width] += count
        return dict(counts)

    def worst(
        self, by: Literal["user", "package"], since: Wall, until: Wall, limit: int = 10
    ) -> list[Worst]:
        name, mismatched = quoted(by), "count(*) FILTER (WHERE verdict = 'mismatched')"
        statement = (
            f"SELECT {name}, {mismatched}, "
            "count(*) FILTER (WHERE verdict IN ('matched', 'mismatched')) FROM verdict "
            f"WHERE at >= ? AND at < ? AND {name} IS NOT NULL AND NOT {IMPROVEMENT} "
            f"GROUP BY {name} HAVING {mismatched} > 0 ORDER BY 2 DESC, 1 LIMIT ?"
        )
        return [Worst(*found) for found in self.ask(statement, since, until, limit)]


def _period(kind: Kind | None, since: Wall, until: Wall, age: str = "at") -> Conditions:
    conditions = Conditions().add(f"{age} >= ?", since).add(f"{age} < ?", until)
    return conditions.add("connection_kind = ?", kind)
