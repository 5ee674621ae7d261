"""The record of one trial, read from the ledger bit by bit: what was read once is not read again (R16).

Rules: docs/design.md#r15, docs/design.md#r16.
"""

from collections import Counter, defaultdict
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from shim.flags.deciding import arm_shares
from shim.gate.connected_users import ConnectedUsers, spread
from shim.gate.evidence import Heartbeats, KindEvidence
from shim.gate.kind_gate import GateTargets
from shim.gate.kind_record import KindRecord
from shim.gate.observed_rows import ObservedRows
from shim.gate.question import QuestionTimes
from shim.gate.trial import Trial
from shim.ledger.coverage_sums import KINDS, CoverageSums
from shim.ledger.protocols import EpisodeSort, LedgerReader
from shim.ledger.rows import Wall
from shim.ledger.settled_actions import SettledActions
from shim.model import Duration, Kind, Return, Role, Time
from shim.model.time import DAY

QUARANTINE = "quarantine"

_HOUR: Duration = 3_600_000_000
_ROWS = 200_000
"""A part of the trial that is read at once has about so many rows of a kind: all of them would need too much
memory."""


class _KindPart(NamedTuple):
    """The rows of one kind of connection in a part of the trial."""

    agreements: ObservedRows
    actions: SettledActions
    episodes: Counter[EpisodeSort]


class _Part(NamedTuple):
    """What was known from `since` on and before `until`; coverage a minute longer."""

    until: Wall
    coverage: CoverageSums
    failures: Counter[str]
    kinds: dict[Kind, _KindPart]


class _Kind:
    """One kind of connection, and the plain counts of it."""

    def __init__(self, record: KindRecord) -> None:
        self.record = record
        self.episodes: Counter[EpisodeSort] = Counter()
        self.matched = self.mismatched = 0
        self.outcomes: Counter[tuple[Role, Return]] = Counter()
        self.proofs: Counter[Role] = Counter()
        self.pings: defaultdict[int, int] = defaultdict(int)
        self.needed: dict[int, float | None] = {}

    def add_heartbeats(self, sums: CoverageSums) -> None:
        runs, firsts = np.unique(sums.runs, return_index=True)
        for run in runs[np.argsort(firsts)].tolist():
            own = sums.where(sums.runs == run)
            self.pings[run] += int(own.pings.sum())
            told = own.intervals > 0
            needed, before = own.watched[told] / own.intervals[told], self.needed.get(run)
            # One after the other, so that the sum does not depend on how much is read at once.
            sums_so_far = np.cumsum(np.append(before or 0.0, needed))
            self.needed[run] = float(sums_so_far[-1]) if len(needed) else before

    def heartbeats(self) -> tuple[Heartbeats, ...]:
        return tuple(
            Heartbeats(f"run {run}", pings, self.needed[run]) for run, pings in self.pings.items()
        )


class TrialRecord:
    """Everything that the gate wants to know of a trial; `read` goes on where the last reading ended.

    A part of a long trial is read while the part before it is counted.

    `deciding`: the deciding parts of the flags file that is in force in the trial, None without one.
    """

    def __init__(
        self,
        trial: Trial,
        times: QuestionTimes,
        deciding: str | None,
    ) -> None:
        self.trial = trial
        self._times = times
        self._deciding = deciding
        self._known_until: Wall = trial.since
        self._connected = {kind: ConnectedUsers(times.grain) for kind in Kind}
        self._kinds: dict[Kind, _Kind] = {}
        self._acted_days: defaultdict[int, set[Role]] = defaultdict(set)
        self._watched_minutes: set[int] = set()
        self._failures: Counter[str] = Counter()

    def read(self, reader: LedgerReader, runs: tuple[int, ...], now: Wall) -> None:
        """Read what was known a minute (`grain`) before `now`: later rows may be on their way to the disk.

        Raises InputError if there is no ledger.
        """
        until = now - self._times.grain
        parts = self._read_parts(reader, runs, until)
        if until - self._known_until > _HOUR:
            parts = _read_ahead(parts)
        with closing(parts):
            for part in parts:
                self._take(part)

    def _read_parts(
        self, reader: LedgerReader, runs: tuple[int, ...], until: Wall
    ) -> Generator[_Part, None, None]:
        """The rest of the trial bit by bit; the rows of a part tell how long the next one may be."""
        since, length = self._known_until, _HOUR
        while since < until:
            end = min(until, since + length)
            kinds = {
                kind: _KindPart(
                    reader.agreement_rows(kind, runs, since, end),
                    # An action of before the trial was another widths' or another candidate's.
                    reader.settled_actions(kind, runs, since, end, acted_from=self.trial.since),
                    reader.other_episodes(kind, runs, since, end),
                )
                for kind in Kind
            }
            # A crowd is measured by the users connected then: coverage is read further, and comes again.
            coverage = reader.coverage_sums(runs, since, end + self._times.grain + 1)
            yield _Part(end, coverage, reader.candidate_failures(runs, since, end), kinds)
            rows = max(len(part.agreements) + len(part.actions) for part in kinds.values())
            length = min(DAY, max(self._times.grain, length * _ROWS // max(rows, 1)))
            since = end

    def _take(self, part: _Part) -> None:
        self._take_coverage(part.coverage, part.until)
        self._failures += part.failures
        for name, rows in part.kinds.items():
            self._take_kind(name, rows)
        for kind in self._kinds.values():
            kind.record.advance(part.until)
        self._known_until = part.until

    def _take_coverage(self, sums: CoverageSums, until: Wall) -> None:
        for place, kind in enumerate(KINDS):
            own = sums.where(sums.kinds == place)
            self._connected[kind].extend(own.runs, own.since, own.at, own.users)
            own = own.where((own.at < until) & (own.control_acted + own.candidate_acted > 0))
            if len(own):
                self._kind(kind).add_heartbeats(own)
        known = sums.where(sums.at < until)
        grain, begin = self._times.grain, self.trial.since + 1
        _, minutes = spread(known.since // grain, (known.at - 1) // grain)
        self._watched_minutes.update(np.unique(minutes).tolist())
        days = (known.at - begin) // DAY
        for role, acted in zip(Role, (known.control_acted, known.candidate_acted), strict=True):
            for day in np.unique(days[acted > 0]).tolist():
                self._acted_days[day].add(role)

    def _take_kind(self, name: Kind, rows: _KindPart) -> None:
        agreements, actions, episodes = rows
        if not (len(agreements) or len(actions) or episodes or name in self._kinds):
            return
        kind = self._kind(name)
        kind.episodes.update(episodes)
        matched = int(agreements.successes.sum())
        kind.matched += matched
        kind.mismatched += len(agreements) - matched
        kind.record.add_agreements(agreements)
        kind.outcomes.update(actions.outcomes())
        kind.proofs.update(actions.proofs())
        kind.record.add_returns(actions.returns())
        kind.record.add_proofs(actions.proofs_of_life())

    def _kind(self, name: Kind) -> _Kind:
        if name not in self._kinds:
            record = KindRecord(name, self._times, self._connected[name], self._share_of)
            self._kinds[name] = _Kind(record)
        return self._kinds[name]

    def _share_of(self, group: str) -> Mapping[Role, float] | None:
        return None if self._deciding is None else arm_shares(self._deciding, group)

    def days_acted(self, now: Time) -> tuple[bool, ...]:
        """For each day of the first period that has begun, whether both monitors acted for somebody."""
        last = min(now, self.trial.since + self._times.period) - 1
        begun = (last - self.trial.since) // DAY + 1
        return tuple(len(self._acted_days[day]) == len(Role) for day in range(begun))

    @property
    def watched(self) -> Duration:
        """For how long some process watched, to a minute."""
        return len(self._watched_minutes) * self._times.grain

    @property
    def failures(self) -> int:
        """How often the candidate failed, quarantines apart."""
        return self._failures.total() - self.quarantines

    @property
    def quarantines(self) -> int:
        return self._failures[QUARANTINE]

    def kinds(self) -> tuple[KindEvidence, ...]:
        """What each kind of connection that occurred shows, as of what has been read."""
        return tuple(self._evidence(self._kinds[name]) for name in Kind if name in self._kinds)

    def _evidence(self, kind: _Kind) -> KindEvidence:
        return replace(
            kind.record.observe(self._known_until),
            matched=kind.matched,
            mismatched=kind.mismatched,
            expected=kind.episodes["expected"],
            improvements=kind.episodes["improvements"],
            inconclusive=kind.episodes["inconclusive"],
            acting_first=kind.episodes["acting_first"],
            acted={role: sum(kind.outcomes[role, one] for one in Return) for role in Role},
            proofs_of_life={role: kind.proofs[role] for role in Role},
            outcomes={
                role: {result: kind.outcomes[role, result] for result in Return} for role in Role
            },
            heartbeats=kind.heartbeats(),
        )


def question_times(trial: Trial, targets: GateTargets) -> QuestionTimes:
    """What a trial's observations depend on."""
    return QuestionTimes(trial.since, targets.period, targets.unit, targets.grain)


def _read_ahead(parts: Iterator[_Part]) -> Generator[_Part, None, None]:
    """The next part is read, in a thread of its own, while its predecessor is in use."""
    context = copy_context()

    def read() -> _Part | None:
        return context.run(next, parts, None)

    with ThreadPoolExecutor(1, "shim-read-ahead") as thread:
        coming = thread.submit(read)
        while (part := coming.result()) is not None:
            coming = thread.submit(read)
            yield part
