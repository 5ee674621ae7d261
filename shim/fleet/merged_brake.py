"""The brake judged on the record of the whole fleet, by one process at a time (R25).

Up to the earliest time to which the record of a listed process is complete, everything is in the store. So the
judge reads on to that time, in the order of time, and no late row can contradict what it has read.

Rules: docs/design.md#r22, docs/design.md#r24, docs/design.md#r25, docs/design.md#r27.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from operator import itemgetter
from typing import Any

from psycopg import Connection

from shim.fleet.fleet_link import FleetDuty
from shim.gate.brake_judge import BrakeJudge
from shim.gate.brake_statistics import BrakeLimits, BrakeRecord, FalseKill
from shim.gate.question import QuestionTimes
from shim.gate.trial import TrialIdentity
from shim.ledger.brake_record import read_brake_record
from shim.ledger.postgres.brake_orders import give_order, last_order
from shim.ledger.postgres.lease import Lease
from shim.ledger.postgres.openings import GIVEN_UP
from shim.ledger.postgres.process_list import read_clock
from shim.ledger.process_record import ProcessRecord
from shim.ledger.protocols import LedgerReader
from shim.ledger.rows import RunRow, Wall
from shim.model import Duration, Kind

log = logging.getLogger(__name__)

_MINUTE: Duration = 60_000_000
_MOST_RUNS = 100_000


class MergedBrake(FleetDuty):
    """Judges while this process has the lease, and engages the fleet's brake.

    Args:
        reader: reads the store.
        limits: the settings of the brake.
        times: the lengths of the gate's times.
        identity: what decides about trials in this process now.
        holder: this run, for the lease.
        process: the name of this process, for people.

    Attributes:
        leads: whether this process had the lease when it last asked.
    """

    def __init__(
        self,
        reader: LedgerReader,
        limits: BrakeLimits,
        times: QuestionTimes,
        identity: Callable[[], TrialIdentity],
        *,
        holder: str,
        process: str,
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._times = times
        self._identity = identity
        self._lease = Lease("brake", holder)
        self._process = process
        self._judge: BrakeJudge | None = None
        self._subject: tuple[TrialIdentity, int | None] | None = None
        self._runs: list[int] = []
        self._runs_of: tuple[frozenset[int], str] | None = None
        self._read_until: Wall = 0
        self._asked_at: Wall = 0
        self.leads = False
        self._concluded: Wall = 0

    def attend(self, connection: Connection[Any]) -> None:
        self.leads = self._lease.keep(connection)
        if not self.leads:
            self._judge = None
            return
        order = last_order(connection)
        if order is not None and order.engaged:
            # There is nothing to decide; after the release everything begins anew.
            self._judge = None
            return
        subject = self._identity(), None if order is None else order.id
        now = read_clock(connection)
        processes = self._reader.processes(now)
        until = _complete_until(processes, now)
        released_at = 0 if order is None else order.at
        if until is None or until <= released_at:
            return
        reason = None
        if self._judge is None or subject != self._subject:
            reason = self._begin(subject, released_at, until)
        elif until > self._read_until:
            self._find_runs(processes, subject[0])
            reason = self._read_on(self._judge, until)
        if reason is not None:
            self._engage(connection, reason)

    def leave(self, connection: Connection[Any]) -> None:
        self._lease.give_up(connection)

    def _begin(
        self, subject: tuple[TrialIdentity, int | None], released_at: Wall, until: Wall
    ) -> str | None:
        """Take in what is known already; the reason to engage that another judge has not come to."""
        self._judge = BrakeJudge(self._limits, self._times)
        record = read_brake_record(self._reader, subject[0], until, self._limits.window)
        record = _between(record, released_at, until)
        # Those whose window goes on are read when it is over.
        concluded = min(until, self._reader.concluded_until() or until)
        over = tuple((kind, row) for kind, row in record.returns if row.at < concluded)
        reason = self._judge.resume(replace(record, returns=over))
        self._subject, self._read_until, self._asked_at = subject, until, until
        self._concluded = concluded
        log.info("fleet: this process judges the brake for all processes")
        return None if reason is None else str(reason)

    def _find_runs(self, processes: Iterable[ProcessRecord], identity: TrialIdentity) -> None:
        """The runs with these monitors; the store is asked again only when there is another process."""
        listed = frozenset(one.run for one in processes)
        if (listed, identity.monitors) == self._runs_of:
            return
        self._runs_of = listed, identity.monitors
        self._runs = [
            run.id
            for run in self._reader.rows(RunRow, limit=_MOST_RUNS)
            if run.monitors == identity.monitors
        ]

    def _read_on(self, judge: BrakeJudge, until: Wall) -> str | None:
        """Take in what became known since the last time; the reason to engage, if there is one."""
        since, self._read_until = self._read_until, until
        runs = self._runs
        events: list[tuple[str, Wall] | FalseKill] = [
            *self._reader.candidate_decisions(runs, since),
            *self._reader.false_kills(runs, since),
        ]
        reason = None
        for event in sorted(events, key=itemgetter(1)):
            if event[1] >= until:
                break
            if isinstance(event, FalseKill):
                reason = judge.killed(*event) or reason
            else:
                judge.decided(*event)
        if reason is not None:
            return str(reason)
        if until - self._asked_at < _MINUTE:
            return None
        asked, self._asked_at = self._asked_at, until
        # Outcomes are concluded a little later than everything else is recorded (R24).
        open_since = self._concluded
        self._concluded = min(until, self._reader.concluded_until() or until)
        for connected in self._reader.coverage_sums(runs, asked, until).connected():
            judge.covered(*connected)
        for kind in Kind:
            settled = self._reader.settled_actions(
                kind, runs, open_since, self._concluded, acted_from=judge.trial_since
            )
            for observed in settled.returns():
                judge.settled(kind, observed)
        fewer = judge.fewer_returns(until)
        return None if fewer is None else str(fewer)

    def _engage(self, connection: Connection[Any], reason: str) -> None:
        self._judge = None
        with connection.transaction():
            # Who was frozen meanwhile has no lease any more.
            if not self._lease.hold(connection):
                return
            give_order(connection, engaged=True, reason=reason, process=self._process)
        log.critical("fleet: the record of all processes engages the brake: %s", reason)


def _between(record: BrakeRecord, released_at: Wall, until: Wall) -> BrakeRecord:
    """What counts since the release, which no process may have recorded yet, and what the next answers of the
    store do not bring again."""
    if record.since < released_at:
        record = replace(record, since=released_at, connected=(), returns=())
    return replace(
        record,
        kills_since=max(record.kills_since, released_at),
        decisions=tuple(one for one in record.decisions if released_at <= one[1] < until),
        kills=tuple(kill for kill in record.kills if released_at <= kill.at < until),
    )


def _complete_until(processes: Iterable[ProcessRecord], now: Wall) -> Wall | None:
    """Up to when nothing is missing from the store; None: no process lives."""
    times = [one.complete_until for one in processes if one.alive and one.seen_at > now - GIVEN_UP]
    return min((time for time in times if time is not None), default=None)
