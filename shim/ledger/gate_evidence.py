"""What the ledger says, as the gate wants to be told it (R14 to R16). Times are by the wall clock.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from shim.flags.deciding import digest_of, only_widths_grew
from shim.gate import (
    Evidence,
    GateVerdict,
    IdentitySpan,
    StandingReady,
    Trial,
    TrialIdentity,
    TrialUsers,
    count_attempts,
    find_trials,
    judge,
)
from shim.gate.judge import STANDS_FOR
from shim.gate.trial import ATTEMPTS_WITHIN
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import (
    ActionRow,
    BrakeRow,
    CoverageRow,
    FailureRow,
    FlagsRow,
    ProofRow,
    Row,
    RunRow,
    VerdictRow,
    Wall,
)
from shim.ledger.trial_record import TrialRecord, question_times
from shim.model import Duration, Role, Time
from shim.settings import Settings

GATE_ROWS: frozenset[type[Row]] = frozenset(
    (RunRow, VerdictRow, ActionRow, ProofRow, FailureRow, CoverageRow, FlagsRow, BrakeRow)
)
"""What the gate's evidence is made of: nothing else has to be in the ledger for it."""

_MOST_ROWS = 10_000
_ALIVE_WITHIN: Duration = 5 * 60_000_000
"""A process that wrote within so long before now is taken to be alive."""

NO_FLAGS = "no flags file"
"""What stands for the flags where there is no file."""


class GateEvidence:
    """Reads the evidence of one ledger for the gate, and keeps what it has read for the next question."""

    def __init__(self, reader: LedgerReader, settings: Settings) -> None:
        self._reader = reader
        self._settings = settings
        self._record: TrialRecord | None = None
        self._earlier: dict[tuple[Time, Time | None], GateVerdict] = {}

    def read(self, now: Time) -> Evidence:
        """The evidence as of `now`, which never goes back. Raises InputError if there is no ledger."""
        reader, settings = self._reader, self._settings
        brakes = [row for row in reader.rows(BrakeRow, limit=_MOST_ROWS) if row.at <= now]
        seen = reader.last_seen(now)
        trials, deciding = read_trials(reader, now, seen)
        complete_until = max(seen.values(), default=None)
        brake = brakes[0] if brakes else None
        evidence = Evidence(
            now,
            complete_until=complete_until,
            brake=brake.reason if brake is not None and brake.engaged else None,
            expired_rules=_expired(settings, now),
        )
        if not trials or trials[-1].until is not None:
            return evidence
        trial = trials[-1]
        record = self._record_of(trial, deciding.get(trial.identity.flags))
        # Rows of the last minute may still be on their way to the disk.
        record.read(_runs(trial), now - settings.gate.grain)
        by_itself = [
            row.at for row in brakes if row.engaged and row.by_itself and row.at >= trial.since
        ]
        return Evidence(
            now,
            trial=trial,
            attempt=self._attempt(trials, now),
            days_acted=record.days_acted(now),
            watched=record.watched,
            complete_until=complete_until,
            brake=evidence.brake,
            braked_by_itself=by_itself[-1] if by_itself else None,
            failures=record.failures,
            quarantines=record.quarantines,
            expired_rules=evidence.expired_rules,
            kinds=record.kinds(now),
            standing=self._standing(trials, deciding, now),
        )

    def _record_of(self, trial: Trial, deciding: str | None) -> TrialRecord:
        """The record that was kept, if it is of this very trial."""
        record = self._record
        if record is None or (record.trial.identity, record.trial.since) != (
            trial.identity,
            trial.since,
        ):
            times = question_times(trial, self._settings.gate)
            record = self._record = TrialRecord(self._reader, trial, times, deciding)
        return record

    def _attempt(self, trials: Sequence[Trial], now: Time) -> int:
        """Which attempt the last trial is (R16's k)."""
        recent = [
            trial
            for trial in trials[:-1]
            if trial.until is not None and trial.until > now - ATTEMPTS_WITHIN
        ]
        with_users = [(trial, self._users(trial, now)) for trial in recent]
        return count_attempts(
            [*with_users, (trials[-1], TrialUsers(0, 0))], self._settings.gate.unit, now
        )

    def _users(self, trial: Trial, now: Time) -> TrialUsers:
        until = now if trial.until is None else trial.until
        means = self._reader.mean_users(_runs(trial), trial.since, until)
        soaks = [step.soak for step in self._settings.promotion.steps]
        return TrialUsers(means[Role.CONTROL], means[Role.CANDIDATE], min(soaks, default=None))

    def _standing(
        self, trials: Sequence[Trial], deciding: dict[str, str | None], now: Time
    ) -> StandingReady | None:
        """The latest earlier trial that was `ready`, if since then nothing but widths has grown."""
        for earlier, later in reversed(list(pairwise(trials))):
            before, after = deciding.get(earlier.identity.flags), deciding.get(later.identity.flags)
            same = (earlier.identity.monitors, earlier.identity.comparison) == (
                later.identity.monitors,
                later.identity.comparison,
            )
            assert earlier.until is not None
            if (
                not same
                or later.began_by == "brake released"
                or before is None
                or after is None
                or not only_widths_grew(before, after)
                or now >= earlier.until + STANDS_FOR
            ):
                return None
            verdict = self._verdict_of(earlier, before)
            if verdict is GateVerdict.READY:
                return StandingReady(earlier.since, earlier.until)
            if verdict is GateVerdict.NOT_READY:
                return None
        return None

    def _verdict_of(self, trial: Trial, deciding: str) -> GateVerdict:
        """What the gate said at the end of a trial that is over."""
        key = trial.since, trial.until
        if key not in self._earlier:
            assert trial.until is not None
            at = trial.until
            if trial.lasted(at) < self._settings.gate.period:
                return GateVerdict.INSUFFICIENT
            record = TrialRecord(
                self._reader, trial, question_times(trial, self._settings.gate), deciding
            )
            record.read(_runs(trial), at)
            evidence = Evidence(
                at,
                trial=trial,
                attempt=1,
                days_acted=record.days_acted(at),
                complete_until=at,
                failures=record.failures,
                quarantines=record.quarantines,
                kinds=record.kinds(at),
            )
            self._earlier[key] = judge(evidence, self._settings.gate).verdict
        return self._earlier[key]


def read_trials(
    reader: LedgerReader, now: Time, seen: Mapping[int, Wall]
) -> tuple[tuple[Trial, ...], dict[str, str | None]]:
    """All trials up to `now`, and the deciding parts of the flags by the digests in their identities.

    `seen`: when each run last wrote down what it watched.
    """
    runs = [run for run in reader.rows(RunRow, limit=_MOST_ROWS) if run.started_at <= now]
    loads = [
        load
        for load in reader.rows(FlagsRow, limit=_MOST_ROWS)
        if load.at <= now and load.problem is None
    ]
    brakes = reader.rows(BrakeRow, limit=_MOST_ROWS)
    releases = [row.at for row in brakes if not row.engaged and row.at <= now]
    spans = list(_identity_spans(runs, loads, seen, now))
    return find_trials(spans, releases, now), {_identity_of(load): load.deciding for load in loads}


def gate_evidence(reader: LedgerReader, settings: Settings, now: Time) -> Evidence:
    """The evidence of one question at `now`. Raises InputError if there is no ledger."""
    return GateEvidence(reader, settings).read(now)


def _identity_spans(
    runs: Iterable[RunRow], loads: Sequence[FlagsRow], seen: Mapping[int, Wall], now: Time
) -> Iterable[IdentitySpan]:
    """Each run, cut where its flags changed; runs of an older shim have no identity, and are left out."""
    for run in runs:
        if run.monitors is None or run.comparison is None:
            continue
        until = _end_of(run, seen.get(run.id), now)
        changes = sorted((load for load in loads if load.run == run.id), key=lambda load: load.at)
        since = run.started_at
        flags = _identity_of(changes[0]) if changes else NO_FLAGS
        for change in changes[1:]:
            if (changed := _identity_of(change)) == flags:
                continue
            yield IdentitySpan(
                run.id, since, change.at, TrialIdentity(run.monitors, run.comparison, flags)
            )
            since, flags = change.at, changed
        if until is None or until > since:
            yield IdentitySpan(
                run.id, since, until, TrialIdentity(run.monitors, run.comparison, flags)
            )


def _end_of(run: RunRow, seen: Wall | None, now: Time) -> Time | None:
    """When a run ended; None: its process is alive, as far as the record tells."""
    if run.stopped_at is not None and run.stopped_at <= now:
        return run.stopped_at
    last = run.started_at if seen is None else seen
    return None if last >= now - _ALIVE_WITHIN else last + 1


def flags_identity(deciding: str | None, digest: str) -> str:
    """What stands for a flags file in a trial's identity; an older shim kept the digest alone."""
    return digest if deciding is None else digest_of(deciding)


def _identity_of(load: FlagsRow) -> str:
    return flags_identity(load.deciding, load.digest)


def _runs(trial: Trial) -> tuple[int, ...]:
    return tuple({span.run for span in trial.spans})


def _expired(settings: Settings, now: Time) -> tuple[str, ...]:
    today = datetime.fromtimestamp(now / 1e6, UTC).date()
    return tuple(rule.name for rule in settings.comparison.expected if rule.until < today)
