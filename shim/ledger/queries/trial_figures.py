"""What the gate asks about a trial: rows and sums of a stretch of time (R16).

Rules: docs/design.md#r6b, docs/design.md#r16.
"""

from collections import Counter
from collections.abc import Iterable

from shim.gate import Arm, FalseKill, ObservedRows
from shim.ledger.protocols import CoverageSum, EpisodeCounts
from shim.ledger.queries.snapshot import SnapshotReader
from shim.ledger.rows import Wall
from shim.ledger.settled_actions import SettledActions
from shim.model import Kind, Return, Role, VerdictName

# A dictionary finds a word faster than its type does.
_KINDS = {kind.value: kind for kind in Kind}
_ROLES = {role.value: role for role in Role}
_RETURNS = {result.value: result for result in Return}

_NO_EVENT = -1
"""Stands for the event of a proof of life that belongs to no event of the guard."""

_COUNTED = "coalesce(counted, TRUE)"
"""Whether a row is evidence; an older shim kept no others."""


def _arm(acting: str) -> str:
    """Who acted (a column), and the group in which chance placed the user, as one text: faster than two."""
    return f"{acting} || ' ' || coalesce(placed_by, '')"


class _Arms(dict[str, Arm]):
    """The arms by their texts."""

    def __missing__(self, text: str) -> Arm:
        acting, _, group = text.partition(" ")
        return self.setdefault(text, Arm(group, _ROLES[acting]))


class TrialFigures(SnapshotReader):
    """Each method is about rows known from `since` on and before `until`, of these runs."""

    def last_seen(self, now: Wall) -> dict[int, Wall]:
        """When each run last wrote down what it watched, as of `now`, which is included."""
        found = self.ask(
            "SELECT id, (SELECT max(at) FROM coverage WHERE coverage.run = run.id AND at <= ?) FROM run",
            now,
        )
        return {run: at for run, at in found if at is not None}

    def agreement_rows(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> ObservedRows[str]:
        with self.snapshot() as ledger:
            users, times, successes, arms, found_by = ledger.columns(
                ('"user"', "at", "agreed", _arm("acting"), "run"),
                "FROM verdict WHERE connection_kind = ? AND at >= ? AND at < ? "
                f"AND agreed IS NOT NULL AND acting IS NOT NULL AND run IN ({_listed(runs)}) ORDER BY at",
                kind,
                since,
                until,
            )
        arms = [*map(_Arms().__getitem__, arms)]
        return ObservedRows(users, times, successes, arms, found_by, [None] * len(users))

    def settled_actions(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall, *, acted_from: Wall
    ) -> SettledActions:
        """By the ends of their windows; actions of an older shim have no window, and are left out."""
        # NULL: there is no proof of life.
        event = (
            f"(SELECT max(coalesce(guard_event, {_NO_EVENT})) FROM proof "
            "WHERE proof.run = action.run AND proof.connection = action.connection)"
        )
        with self.snapshot() as ledger:
            users, times, arms, results, events, found_by = ledger.columns(
                ('"user"', "window_ends", _arm("role"), "result", event, "run"),
                "FROM action WHERE connection_kind = ? AND window_ends >= ? AND window_ends < ? "
                f"AND acted_at >= ? AND result IS NOT NULL AND {_COUNTED} AND run IN ({_listed(runs)}) "
                "ORDER BY window_ends, run, connection",
                kind,
                since,
                until,
                acted_from,
            )
        return SettledActions(
            users,
            times,
            [*map(_Arms().__getitem__, arms)],
            [*map(_RETURNS.__getitem__, results)],
            [event is not None for event in events],
            found_by,
            [None if event == _NO_EVENT else event for event in events],
        )

    def other_episodes(
        self, kind: Kind, runs: Iterable[int], since: Wall, until: Wall
    ) -> EpisodeCounts:
        """The episodes that `agreement_rows` leaves out, those of overrides apart (R16)."""
        counts = EpisodeCounts()
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
                counts.improvements += count
            elif verdict == VerdictName.INCONCLUSIVE:
                counts.inconclusive += count
            elif verdict == VerdictName.EXPECTED and proving:
                counts.expected += count
            else:
                counts.acting_first += count
        return counts

    def coverage_sums(self, runs: Iterable[int], since: Wall, until: Wall) -> list[CoverageSum]:
        with self.snapshot() as ledger:
            found_by, kinds, *sums, watched, intervals = ledger.columns(
                (
                    *("run", "connection_kind", "since", "at", "control_acted", "candidate_acted"),
                    *("control_users", "candidate_users", "pings", "watched", "heartbeat_interval"),
                ),
                f"FROM coverage WHERE at >= ? AND at < ? AND run IN ({_listed(runs)}) ORDER BY at",
                since,
                until,
            )
        needed = [
            time / interval if interval else None
            for time, interval in zip(watched, intervals, strict=True)
        ]
        columns = found_by, map(_KINDS.__getitem__, kinds), *sums, needed
        return [*map(CoverageSum._make, zip(*columns, strict=True))]

    def candidate_failures(self, runs: Iterable[int], since: Wall, until: Wall) -> Counter[str]:
        """How often each call of the candidate failed."""
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
        """The users for whom each monitor acted, summed over all minutes and kinds."""
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
