"""Sums over the ledger's rows: the figures of the gate and the dashboard.

Rules: docs/design.md#r14.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from shim.ledger.protocols import Bucket, VerdictCounts, Watched, Worst
from shim.ledger.rows import Wall
from shim.ledger.sqlite.snapshot import Conditions, snapshot
from shim.model import Duration, Kind, Return, Role, VerdictKind, VerdictName

_AT_ONCE = 2000
"""Rows: few enough to be in the processor's caches still when they are counted."""

IMPROVEMENT = "(kind = 'only_control' AND recovered)"
"""Whether a verdict is an improvement (R14), as SQL."""


class Figures:
    """The sums of a SQLite ledger; each takes one statement or a few."""

    path: Path

    def kinds(self, since: Wall, until: Wall) -> list[Kind]:
        occurs = " OR ".join(
            f"EXISTS (SELECT 1 FROM {table} WHERE connection_kind = ?1 AND {within})"
            for table, within in (
                ("coverage", "at > ?2 AND at <= ?3"),
                # Each half has an index that begins with the kind.
                ("verdict", "agreed IS NULL AND at >= ?2 AND at < ?3"),
                ("verdict", "agreed IS NOT NULL AND at >= ?2 AND at < ?3"),
            )
        )
        return [kind for kind in Kind if self._ask(f"SELECT {occurs}", kind, since, until)[0][0]]

    def agreements(
        self, kind: Kind, since: Wall, until: Wall
    ) -> Iterator[list[tuple[str, Wall, bool]]]:
        where = _period(kind, since, until).add("agreed IS NOT NULL")
        with snapshot(self.path) as ledger:
            found = ledger.ask(
                f"SELECT user, at, agreed FROM verdict {where} ORDER BY at", *where.values
            )
            # SQLite's 0 and 1 will do.
            while rows := found.fetchmany(_AT_ONCE):
                yield rows

    def settled(
        self, kind: Kind, role: Role, since: Wall, until: Wall
    ) -> list[tuple[str, Wall, str, bool]]:
        statement = (
            "SELECT user, acted_at, result, EXISTS (SELECT 1 FROM proof WHERE "
            "proof.run = action.run AND proof.connection = action.connection) FROM action "
            "WHERE connection_kind = ? AND role = ? AND acted_at >= ? AND acted_at < ? "
            "AND by_percentage AND result IS NOT NULL ORDER BY acted_at"
        )
        return self._ask(statement, kind, role, since, until)

    def results(
        self, kind: Kind | None, since: Wall, until: Wall
    ) -> Counter[tuple[Role, Return | None]]:
        where = _period(kind, since, until, "acted_at")
        found = self._ask(
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
        found = self._ask(f"SELECT role, count(*) FROM proof {where} GROUP BY role", *where.values)
        return Counter({Role(role): count for role, count in found})

    def counts(self, kind: Kind | None, since: Wall, until: Wall) -> VerdictCounts:
        counts = VerdictCounts(Counter(), Counter(), Counter())
        for one in Kind if kind is None else (kind,):
            self._count_unproving(counts, _period(one, since, until))
            self._count_agreed(counts, _period(one, since, until))
        return counts

    def unproving(self, kind: Kind, since: Wall, until: Wall) -> VerdictCounts:
        counts = VerdictCounts(Counter(), Counter(), Counter())
        self._count_unproving(counts, _period(kind, since, until))
        return counts

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
            "SELECT iif(agreed, 'matched', 'mismatched'), kind, 1, rule, 0, count(*) FROM verdict "
            f"{where} GROUP BY agreed, kind, rule",
            where,
        )

    def _count(self, counts: VerdictCounts, statement: str, where: Conditions) -> None:
        for verdict, of, proving, rule, improvement, count in self._ask(statement, *where.values):
            counts.all[VerdictName(verdict), VerdictKind(of)] += count
            if improvement:
                counts.improvements[VerdictName(verdict)] += count
            elif proving:
                counts.proving[VerdictName(verdict)] += count
            if rule is not None:
                counts.rules[rule] += count

    def failures(self, since: Wall, until: Wall) -> Counter[tuple[Role, Kind | None, str]]:
        where = _period(None, since, until)
        return Counter(
            {
                (Role(role), None if kind is None else Kind(kind), call): count
                for role, kind, call, count in self._ask(
                    f"SELECT role, connection_kind, call, count(*) FROM failure {where} "
                    "GROUP BY role, connection_kind, call",
                    *where.values,
                )
            }
        )

    def watched(self, kind: Kind, since: Wall, until: Wall) -> Watched:
        # A row is about the stretch that ends at its time.
        where = Conditions().add("connection_kind = ?", kind)
        where.add("at > ?", since).add("at <= ?", until)
        ((*sums, needed, both_until),) = self._ask(
            "SELECT total(connected), total(control_acted), total(candidate_acted), total(watched), "
            "total(pings), sum(1.0 * watched / heartbeat_interval), "
            "max(at) FILTER (WHERE control_acted AND candidate_acted) "
            f"FROM coverage {where}",
            *where.values,
        )
        connected, control, candidate, watched, pings = (int(figure) for figure in sums)
        return Watched(connected, control, candidate, watched, pings, needed, both_until)

    def timeline(
        self, kind: Kind | None, since: Wall, until: Wall, width: Duration
    ) -> list[Bucket]:
        where = _period(kind, since, until)
        buckets: dict[Wall, Bucket] = {}
        statement = (
            f"SELECT (at - ?) / ?, verdict, proving AND NOT {IMPROVEMENT}, count(*) FROM verdict "
            f"{where} GROUP BY 1, 2, 3 ORDER BY 1"
        )
        for place, verdict, proving, count in self._ask(statement, since, width, *where.values):
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
        # SQLite divides towards zero, a histogram divides downwards.
        statement = (
            "SELECT CAST(floor(1.0 * (control_at - candidate_at) / ?) AS INTEGER), count(*) "
            f"FROM verdict {where} AND control_at IS NOT NULL AND candidate_at IS NOT NULL "
            "GROUP BY 1 ORDER BY 1"
        )
        for place, count in self._ask(statement, width, *where.values):
            counts[place * width] += count
        return dict(counts)

    def worst(
        self, by: Literal["user", "package"], since: Wall, until: Wall, limit: int = 10
    ) -> list[Worst]:
        statement = (
            f"SELECT {by}, sum(verdict = 'mismatched') AS mismatched, "
            "sum(verdict IN ('matched', 'mismatched')) FROM verdict "
            f"WHERE at >= ? AND at < ? AND {by} IS NOT NULL AND NOT {IMPROVEMENT} GROUP BY {by} "
            f"HAVING mismatched > 0 ORDER BY mismatched DESC, {by} LIMIT ?"
        )
        return [Worst(*found) for found in self._ask(statement, since, until, limit)]

    def _ask(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with snapshot(self.path) as ledger:
            return list(ledger.ask(statement, *values))


def _period(kind: Kind | None, since: Wall, until: Wall, age: str = "at") -> Conditions:
    conditions = Conditions().add(f"{age} >= ?", since).add(f"{age} < ?", until)
    return conditions.add("connection_kind = ?", kind)
