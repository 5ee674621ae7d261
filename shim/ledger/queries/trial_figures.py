"""What the gate asks about a trial: rows and sums of a stretch of time (R16).

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shim.gate.brake_statistics import FalseKill
from shim.gate.observed_rows import NO_EVENT, Arm, ObservedRows
from shim.gate.user_numbers import Integers
from shim.ledger.coverage_sums import KINDS, CoverageSums
from shim.ledger.protocols import EpisodeSort
from shim.ledger.queries.snapshot import FoundColumns, SnapshotReader
from shim.ledger.rows import Wall
from shim.ledger.settled_actions import RESULTS, SettledActions
from shim.model import Kind, Role, VerdictName

_ROLES = {role.value: role for role in Role}

_NO_PROOF = NO_EVENT - 1
"""Stands for the event of a proof of life where there is no proof; `NO_EVENT`: it belongs to no event."""

_GROUP = "coalesce(placed_by, '')"
"""The group in which chance placed the user, as in an `Arm`."""

_COUNTED = "counted IS NOT FALSE"
"""Whether a row is evidence; an older shim kept no others."""


class TrialFigures(SnapshotReader):
    """Each method is about rows known from `since` on and before `until`, of these runs."""

    def last_seen(self, now: Wall) -> dict[int, Wall]:
        found = self.ask(
            "SELECT id, (SELECT max(at) FROM coverage WHERE coverage.run = run.id AND at <= ?) FROM run",
            now,
        )
        return {run: at for run, at in found if at is not None}

    def agreement_rows(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> ObservedRows:
        with self.snapshot() as ledger:
            found = ledger.columns(
                ("agreed", "acting", "run", _GROUP),
                (ledger.USER, "at"),
                "FROM verdict WHERE connection_kind = ? AND at >= ? AND at < ? "
                f"AND agreed IS NOT NULL AND acting IS NOT NULL AND run IN ({_listed(runs)})",
                kind,
                since,
                until,
            )
        found = found.in_order(found.numbers[1])
        agreed, acting, run, placed_by = _columns(found.table, 4)
        nothing = np.full(len(found.places), NO_EVENT)
        return _observed(found, agreed, acting, placed_by, run, nothing)

    def settled_actions(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall, *, acted_from: Wall
    ) -> SettledActions:
        """By the ends of their windows; actions of an older shim have no window, and are left out."""
        proofs = "FROM proof WHERE proof.run = action.run AND proof.connection = action.connection"
        event = (
            # Whether there is a proof PostgreSQL finds out for all actions at once.
            f"CASE WHEN EXISTS (SELECT 1 {proofs}) "
            f"THEN (SELECT max(coalesce(guard_event, {NO_EVENT})) {proofs}) ELSE {_NO_PROOF} END"
        )
        with self.snapshot() as ledger:
            found = ledger.columns(
                ("role", "result", "run", _GROUP),
                (
                    *(ledger.USER, "window_ends", event),
                    "row_number() OVER (ORDER BY window_ends, run, connection)",
                ),
                "FROM action WHERE connection_kind = ? AND window_ends >= ? AND window_ends < ? "
                f"AND acted_at >= ? AND result IS NOT NULL AND {_COUNTED} AND run IN ({_listed(runs)})",
                kind,
                since,
                until,
                acted_from,
            )
        found = found.in_order(found.numbers[3])
        roles, results, run, placed_by = _columns(found.table, 4)
        events = found.numbers[2]
        rows = _observed(
            found, [False] * len(roles), roles, placed_by, run, np.maximum(events, NO_EVENT)
        )
        return SettledActions(
            replace(rows, successes=events != _NO_PROOF),
            found.spread(map(RESULTS.index, results)),
        )

    def other_episodes(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> Counter[EpisodeSort]:
        counts: Counter[EpisodeSort] = Counter()
        for verdict, of, recovered, proving, count in self.ask(
            "SELECT verdict, kind, recovered, proving, count(*) FROM verdict "
            "WHERE connection_kind = ? AND at >= ? AND at < ? AND agreed IS NULL "
            f"AND overridden IS NOT TRUE AND run IN ({_listed(runs)}) "
            "GROUP BY verdict, kind, recovered, proving",
            kind,
            since,
            until,
        ):
            if of == "only_control" and recovered:
                counts["improvements"] += count
            elif verdict == VerdictName.INCONCLUSIVE:
                counts["inconclusive"] += count
            elif verdict == VerdictName.EXPECTED and proving:
                counts["expected"] += count
            else:
                counts["acting_first"] += count
        return counts

    def coverage_sums(self, runs: Iterable[int], since: Wall, until: Wall) -> CoverageSums:
        with self.snapshot() as ledger:
            found = ledger.columns(
                ("run", "connection_kind", "heartbeat_interval"),
                (
                    *("since", "at", "control_acted", "candidate_acted"),
                    *("control_users", "candidate_users", "pings", "watched"),
                ),
                f"FROM coverage WHERE at >= ? AND at < ? AND run IN ({_listed(runs)})",
                since,
                until,
            )
        found = found.in_order(found.numbers[1])
        run, kinds, intervals = _columns(found.table, 3)
        return CoverageSums(
            found.spread(run),
            found.spread(map(KINDS.index, kinds)),
            found.spread(interval or 0 for interval in intervals),
            *found.numbers,
        )

    def candidate_failures(self, runs: Iterable[int], since: Wall, until: Wall) -> Counter[str]:
        return Counter(
            dict(
                self.ask(
                    "SELECT call, count(*) FROM failure WHERE role = ? AND at >= ? AND at < ? "
                    f"AND run IN ({_listed(runs)}) GROUP BY call",
                    Role.CANDIDATE,
                    since,
                    until,
                )
            )
        )

    def candidate_decisions(self, runs: Iterable[int], since: Wall) -> list[tuple[str, Wall]]:
        return self.ask(
            f'SELECT "user", at FROM decision WHERE role = ? AND at >= ? AND {_COUNTED} '
            f"AND run IN ({_listed(runs)}) ORDER BY at",
            Role.CANDIDATE,
            since,
        )

    def false_kills(self, runs: Iterable[int], since: Wall) -> list[FalseKill]:
        listed = _listed(runs)
        found = self.ask(
            "SELECT \"user\", at, run, NULL FROM verdict WHERE verdict = 'mismatched' "
            f"AND kind = 'only_candidate' AND recovered AND at >= ? AND {_COUNTED} AND run IN ({listed}) "
            'UNION ALL SELECT "user", at, run, guard_event FROM proof '
            f"WHERE role = 'candidate' AND at >= ? AND {_COUNTED} AND run IN ({listed}) ORDER BY at",
            since,
            since,
        )
        return [
            FalseKill(user, at, None if event is None else (run, event))
            for user, at, run, event in found
        ]

    def mean_users(self, runs: Iterable[int], since: Wall, until: Wall) -> dict[Role, float]:
        ((control, candidate),) = self.ask(
            f"SELECT {_total('control_users')}, {_total('candidate_users')} FROM coverage "
            f"WHERE at >= ? AND at < ? AND run IN ({_listed(runs)})",
            since,
            until,
        )
        return {Role.CONTROL: control, Role.CANDIDATE: candidate}


def _total(column: str) -> str:
    """A sum as a float, 0 without any row."""
    return f"coalesce(CAST(sum({column}) AS DOUBLE PRECISION), 0)"


def _listed(runs: Iterable[int]) -> str:
    """Numbers of runs, as a statement has them."""
    return ", ".join(str(int(run)) for run in runs) or "NULL"


def _columns(table: Iterable[tuple[Any, ...]], number: int) -> list[Sequence[Any]]:
    return [*zip(*table, strict=True)] or [()] * number


def _observed(
    found: FoundColumns,
    successes: Iterable[bool],
    roles: Iterable[str],
    groups: Iterable[str],
    runs: Iterable[int],
    guard_events: Integers,
) -> ObservedRows:
    """The rows that were found: the first numbers are their users, the next ones their times."""
    users, times, *_ = found.numbers
    arms = [Arm(group, _ROLES[role]) for role, group in zip(roles, groups, strict=True)]
    table = tuple(dict.fromkeys(arms))
    return ObservedRows(
        arm_table=table,
        users=users,
        times=times,
        successes=found.spread(successes).astype(np.bool_),
        arms=found.spread(map(table.index, arms)),
        runs=found.spread(runs),
        guard_events=guard_events,
    )
