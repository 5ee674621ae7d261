"""What the ledger says, as the gate wants to be told it (R14 to R16). Times are by the wall clock.

Rules: docs/design.md#r14, docs/design.md#r16.
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from shim.flags.deciding import digest_of, only_widths_grew, step_of
from shim.gate.answer import GateAnswer, GateVerdict, Standing
from shim.gate.evidence import STANDS_FOR, Evidence, StandingReady
from shim.gate.judge import judge
from shim.gate.trial import (
    BRAKE_RELEASED,
    IdentitySpan,
    Trial,
    TrialIdentity,
    TrialUsers,
    count_attempts,
    find_differences,
    find_trials,
)
from shim.ledger.process_record import ProcessRecord
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
from shim.model.time import CLOCK_UNSET_BEFORE, utc_day

if TYPE_CHECKING:
    from shim.settings.settings import Settings

GATE_ROWS: frozenset[type[Row]] = frozenset(
    (RunRow, VerdictRow, ActionRow, ProofRow, FailureRow, CoverageRow, FlagsRow, BrakeRow)
)
"""What the gate's evidence is made of: nothing else has to be in the ledger for it."""

_MOST_ROWS = 10_000
_ALIVE_WITHIN: Duration = 5 * 60_000_000
"""A process that wrote within so long before now is taken to be alive."""

NO_FLAGS = "no flags file"
"""What stands for the flags where there is no file."""


class TrialHistory(NamedTuple):
    """What the ledger says about trials.

    Attributes:
        brakes: the orders to the brake up to now, newest first.
        deciding: the deciding parts of the flags, by the digests in the identities.
        differing: the parts in which the processes that run differ.
        unset_clock: when the last process began, if its wall clock was not set then.
    """

    trials: tuple[Trial, ...]
    brakes: Sequence[BrakeRow]
    deciding: Mapping[str, str | None]
    differing: tuple[str, ...]
    unset_clock: Time | None

    def deciding_part(self, trial: Trial) -> str | None:
        """The deciding part of the flags in the trial; None: there were none, or an older shim kept none."""
        return self.deciding.get(trial.identity.flags)

    def only_widths_grew(self, earlier: Trial, later: Trial) -> bool:
        """Whether nothing else changed from one trial to the next."""
        before, after = self.deciding_part(earlier), self.deciding_part(later)
        same_flags = earlier.identity.flags == later.identity.flags
        return (
            earlier.identity.differences(later.identity) in ((), ("flags",))
            and later.began_by != BRAKE_RELEASED
            and (
                same_flags
                or (before is not None and after is not None and only_widths_grew(before, after))
            )
        )


class GateEvidence:
    """Reads the evidence of one ledger for the gate, and keeps what it has read for the next question."""

    def __init__(self, reader: LedgerReader, settings: "Settings") -> None:
        self._reader = reader
        self._settings = settings
        self._record: TrialRecord | None = None
        self._earlier: dict[tuple[Time, Time], GateAnswer] = {}
        self._means: dict[tuple[Time, Time], dict[Role, float]] = {}
        # Of a fleet: until when the processes' rows were there, and read, at the last question.
        self._ends: dict[int, Wall] = {}
        self._read_until: Wall = 0

    def read(self, now: Time) -> Evidence:
        """The evidence as of `now`, which never goes back. Raises InputError if there is no ledger."""
        with self._reader.at_one_moment() as reader:
            return self._read(reader, now)

    def _read(self, reader: LedgerReader, now: Time) -> Evidence:
        brakes = [row for row in reader.rows(BrakeRow, limit=_MOST_ROWS) if row.at <= now]
        seen = reader.last_seen(now)
        processes = reader.processes(now)
        history = read_trials(reader, now, seen, brakes, processes)
        brake = brakes[0] if brakes else None
        concluded = reader.concluded_until() or now
        self._forget_if_late(processes)
        last = min(
            (process for process in processes if process.alive), key=_end_of_record, default=None
        )
        complete_until = max(seen.values(), default=None)
        if complete_until is not None and last is not None:
            complete_until = min(complete_until, _end_of_record(last), concluded)
        evidence = Evidence(
            now,
            complete_until=complete_until,
            ends_first=None if last is None else last.name,
            brake=brake.reason if brake is not None and brake.engaged else None,
            unset_clock=history.unset_clock,
            expired_rules=_expired(self._settings, now),
            differing=history.differing,
        )
        if not history.trials or history.trials[-1].until is not None:
            return evidence
        record = self._record_of(history)
        # What a process of a fleet has not shipped yet is read later, with what the others found then.
        self._read_until = now if last is None else min(now, _end_of_record(last), concluded)
        record.read(reader, _runs(record.trial), self._read_until)
        return replace(
            self._of_trial(reader, evidence, history, record),
            standing=self._standing(reader, history, now),
        )

    def _forget_if_late(self, processes: Sequence[ProcessRecord]) -> None:
        """Read everything anew if rows have come of a time that was read already, of a process long gone."""
        ends = {process.run: _end_of_record(process) for process in processes}
        if any(self._ends.get(run, 0) < min(end, self._read_until) for run, end in ends.items()):
            self._record = None
            self._earlier.clear()
            self._means.clear()
        self._ends = ends

    def _of_trial(
        self, reader: LedgerReader, evidence: Evidence, history: TrialHistory, record: TrialRecord
    ) -> Evidence:
        """The evidence with what the record of the last of these trials says."""
        now, trial = evidence.now, history.trials[-1]
        by_itself = [
            row.at
            for row in history.brakes
            if row.engaged and row.by_itself and trial.since <= row.at <= now
        ]
        return replace(
            evidence,
            trial=trial,
            attempt=self._attempt(reader, history, now),
            days_acted=record.days_acted(now),
            watched=record.watched,
            braked_by_itself=max(by_itself, default=None),
            failures=record.failures,
            quarantines=record.quarantines,
            kinds=record.kinds(),
        )

    def _record_of(self, history: TrialHistory) -> TrialRecord:
        """The record of the last of these trials that was kept, or else one that begins."""
        record, trial = self._record, history.trials[-1]
        if record is None or (record.trial.identity, record.trial.since) != (
            trial.identity,
            trial.since,
        ):
            record = self._record = self._begin_record(history)
        return record

    def _begin_record(self, history: TrialHistory) -> TrialRecord:
        trial = history.trials[-1]
        times = question_times(trial, self._settings.gate)
        return TrialRecord(trial, times, history.deciding_part(trial))

    def _attempt(self, reader: LedgerReader, history: TrialHistory, now: Time) -> int:
        """Which attempt the last trial is (R16's k)."""
        *earlier, last = history.trials
        with_users = [
            (trial, self._users(reader, trial, history.deciding_part(trial)))
            for trial in earlier
            if trial.is_recent(now)
        ]
        return count_attempts(
            [*with_users, (last, TrialUsers(0, 0))], self._settings.gate.unit, now
        )

    def _users(self, reader: LedgerReader, trial: Trial, deciding: str | None) -> TrialUsers:
        """Of a trial that is over, and the deciding part of its flags."""
        assert trial.until is not None
        key = trial.since, trial.until
        if key not in self._means:
            self._means[key] = reader.mean_users(_runs(trial), *key)
        means = self._means[key]
        steps = self._settings.promotion.steps
        step = None if deciding is None else step_of(deciding, [one.percent for one in steps])
        soak = None if step is None else steps[step].soak
        return TrialUsers(means[Role.CONTROL], means[Role.CANDIDATE], soak)

    def _standing(
        self, reader: LedgerReader, history: TrialHistory, now: Time
    ) -> StandingReady | None:
        """The latest earlier trial that was `ready`, if since then nothing but widths has grown."""
        trials = history.trials
        for place in range(len(trials) - 1, 0, -1):
            earlier, later = trials[place - 1], trials[place]
            assert earlier.until is not None
            if now >= earlier.until + STANDS_FOR or not history.only_widths_grew(earlier, later):
                return None
            answer = self._answer_at_end(reader, history._replace(trials=trials[:place]))
            if answer.verdict is GateVerdict.READY:
                return StandingReady(earlier.since, earlier.until)
            if any(condition.standing is Standing.FAILED for condition in answer.conditions):
                return None
        return None

    def _answer_at_end(self, reader: LedgerReader, history: TrialHistory) -> GateAnswer:
        """What the gate said when the last of these trials ended."""
        trial = history.trials[-1]
        assert trial.until is not None
        key = trial.since, trial.until
        if key not in self._earlier:
            record = self._begin_record(history)
            # Nothing of the trial is still on its way to the disk.
            record.read(reader, _runs(trial), trial.until + self._settings.gate.grain)
            brake = next((row for row in history.brakes if row.at <= trial.until), None)
            evidence = Evidence(
                trial.until,
                complete_until=trial.until,
                brake=brake.reason if brake is not None and brake.engaged else None,
            )
            whole = self._of_trial(reader, evidence, history, record)
            self._earlier[key] = judge(whole, self._settings.gate)
        return self._earlier[key]


def read_trials(
    reader: LedgerReader,
    now: Time,
    seen: Mapping[int, Wall],
    brakes: Sequence[BrakeRow],
    processes: Collection[ProcessRecord],
    *,
    only_with_flags: bool = False,
) -> TrialHistory:
    """All trials up to `now`.

    `seen`: when each run last wrote down what it watched. `brakes`: the orders to the brake, newest first.
    `processes`: those of a fleet, which may have ended without a word; the next process of the outbox has
    said so. `only_with_flags` leaves out runs whose flags are not in the ledger.
    """
    begun = reader.rows(RunRow, limit=_MOST_ROWS)
    runs = [run for run in begun if CLOCK_UNSET_BEFORE <= run.started_at <= now]
    loads = [
        load
        for load in reader.rows(FlagsRow, limit=_MOST_ROWS)
        if load.at <= now and load.problem is None
    ]
    if only_with_flags:
        known = {load.run for load in loads}
        runs = [run for run in runs if run.id in known]
    releases = [row.at for row in brakes if not row.engaged and row.at <= now]
    signs = dict(seen)
    for process in processes:
        signs[process.run] = max(signs.get(process.run, 0), min(_end_of_record(process), now))
    gone = {process.run for process in processes if not process.alive}
    spans = list(_identity_spans(runs, loads, signs, gone, now))
    unset = (run.started_at for run in begun[:1] if run.started_at < CLOCK_UNSET_BEFORE)
    return TrialHistory(
        trials=find_trials(spans, releases, now),
        brakes=brakes,
        deciding={_identity_of(load): load.deciding for load in loads},
        differing=find_differences(spans, now),
        unset_clock=next(unset, None),
    )


def _end_of_record(process: ProcessRecord) -> Wall:
    return process.complete_until or 0


def gate_evidence(reader: LedgerReader, settings: "Settings", now: Time) -> Evidence:
    """The evidence of one question at `now`. Raises InputError if there is no ledger."""
    return GateEvidence(reader, settings).read(now)


def _identity_spans(
    runs: Iterable[RunRow],
    loads: Sequence[FlagsRow],
    seen: Mapping[int, Wall],
    gone: Container[int],
    now: Time,
) -> Iterable[IdentitySpan]:
    """Each run, cut where its flags changed; runs of an older shim have no identity, and are left out."""
    for run in runs:
        if run.monitors is None or run.comparison is None:
            continue
        changes = sorted((load for load in loads if load.run == run.id), key=lambda load: load.at)
        signs = (run.started_at, seen.get(run.id, 0), *(change.at for change in changes))
        until = _end_of(run, max(signs), now, is_gone=run.id in gone)
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


def _end_of(run: RunRow, seen: Wall, now: Time, *, is_gone: bool) -> Time | None:
    """When a run ended that was last `seen` then; None: its process is alive, as far as the record tells."""
    if run.stopped_at is not None and run.stopped_at < now:
        return run.stopped_at
    if is_gone and seen < now:
        return seen + 1
    return None if seen >= now - _ALIVE_WITHIN else seen + 1


def flags_identity(deciding: str | None, digest: str) -> str:
    """What stands for a flags file in a trial's identity; an older shim kept the digest alone."""
    return digest if deciding is None else digest_of(deciding)


def _identity_of(load: FlagsRow) -> str:
    return flags_identity(load.deciding, load.digest)


def _runs(trial: Trial) -> tuple[int, ...]:
    return tuple({span.run for span in trial.spans})


def _expired(settings: "Settings", now: Time) -> tuple[str, ...]:
    today = utc_day(now)
    return tuple(rule.name for rule in settings.comparison.expected if rule.until < today)
