"""Simulated fleets whose truth is known, asked after every hour: is the gate ever wrong?

Half of the users are in shadow (their timeouts compare the monitors, the control acts), half are live (the
candidate acts). Everything is drawn from a seed; nothing here knows how the gate judges.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log
from random import Random

from shim.gate import (
    EPISODES,
    Evidence,
    GateAnswer,
    GateVerdict,
    KindEvidence,
    Observations,
    Observed,
    Sample,
    judge,
)
from shim.gate.kind_gate import E_VALUE, SEQUENCE_ALPHA
from shim.gate.statistics import certainly_lower, log_e_value
from shim.model import Kind, Role
from shim.settings.sections import GateSettings

HOUR = 3_600_000_000
DAY = 24 * HOUR
TARGETS = GateSettings()

Row = tuple[str, int, bool]


@dataclass(frozen=True)
class Fleet:
    """What is true of a fleet.

    `disagreement`: the probability that a timeout's verdict is a mismatch; with `correlation`, each user
    has a probability of their own, of that mean. `burst`: so many episodes come at a time. `outage`: at
    that hour half of all users lose their connections, which both monitors see alike and which all come
    back. `hidden`: the share of mismatches that an expected rule explains.
    """

    users: int = 4000
    per_day: float = 0.5
    days: int = 30
    disagreement: float = 0.0
    correlation: float = 0.0
    burst: int = 1
    outage: int | None = None
    returns: dict[Role, float] = field(
        default_factory=lambda: {Role.CONTROL: 0.98, Role.CANDIDATE: 0.98}
    )
    proofs: dict[Role, float] = field(
        default_factory=lambda: {Role.CONTROL: 0.0, Role.CANDIDATE: 0.0}
    )
    pings: float = 1.0
    hidden: float = 0.0
    expired: tuple[str, ...] = ()
    failures: int = 0


@dataclass
class Record:
    """What happened to one fleet: rows in the order of their times."""

    fleet: Fleet
    agreement: list[Row]
    explained: list[int]
    returns: dict[Role, list[Row]]
    proofs: dict[Role, list[Row]]


def happen(fleet: Fleet, seed: int) -> Record:
    """Everything that happens to the fleet in its days."""
    random = Random(seed)
    times = [
        random.random() * fleet.days * DAY
        for _ in range(round(fleet.users * fleet.per_day * fleet.days / fleet.burst))
    ]
    timeouts = [(int(at), random.randrange(fleet.users), False) for at in times]
    if fleet.outage is not None:
        at = fleet.outage * HOUR
        timeouts += [
            (at + random.randrange(30_000_000), user, True)
            for user in random.sample(range(fleet.users), fleet.users // 2)
        ]
    timeouts.sort()
    record = Record(fleet, [], [], {role: [] for role in Role}, {role: [] for role in Role})
    chances: dict[int, float] = {}
    for at, user, outage in timeouts:
        role = Role.CANDIDATE if user % 2 else Role.CONTROL
        name = f"user{user}"
        record.returns[role].append((name, at, outage or random.random() < fleet.returns[role]))
        record.proofs[role].append((name, at, not outage and random.random() < fleet.proofs[role]))
        if role is Role.CANDIDATE:
            continue
        chance = chances.setdefault(user, _chance(fleet, random))
        for _ in range(1 if outage else fleet.burst):
            if outage or random.random() >= chance:
                record.agreement.append((name, at, True))
            elif random.random() < fleet.hidden:
                record.explained.append(at)
            else:
                record.agreement.append((name, at, False))
    return record


def _chance(fleet: Fleet, random: Random) -> float:
    if not fleet.correlation:
        return fleet.disagreement
    size = 1 / fleet.correlation - 1
    return random.betavariate(fleet.disagreement * size, (1 - fleet.disagreement) * size)


class Samples:
    """The observations of a record since some time, hour by hour."""

    def __init__(self, record: Record, start: int = 0) -> None:
        self._agreement = _Feed(record.agreement, start, EPISODES, TARGETS.unit)
        self._returns = {role: _Feed(rows, start) for role, rows in record.returns.items()}
        self._proofs = {role: _Feed(rows, start) for role, rows in record.proofs.items()}

    def agreement(self, now: int) -> Observed:
        return self._agreement.observed(now)

    def at(self, now: int) -> Sample:
        return Sample(
            self.agreement(now).shares,
            {role: feed.observed(now).shares for role, feed in self._returns.items()},
            {role: feed.observed(now).shares for role, feed in self._proofs.items()},
        )


class _Feed:
    def __init__(self, rows: list[Row], start: int, limit: int = 1, unit: int = 0) -> None:
        self._rows = rows
        self._next = _first(rows, start)
        self._observations = Observations(limit, unit)

    def observed(self, now: int) -> Observed:
        end = _first(self._rows, now)
        self._observations.extend(self._rows[self._next : end])
        self._next = max(self._next, end)
        return self._observations.observed(now)


def _first(rows: list[Row], at: int) -> int:
    """The position of the first row at or after `at`."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if rows[middle][1] < at else (low, middle)
    return low


def answer(record: Record, now: int, epoch: Sample, period: Sample, users: int) -> GateAnswer:
    """The gate's answer at `now`."""
    start = max(0, now - TARGETS.period)
    rows = record.agreement[_first(record.agreement, start) : _first(record.agreement, now)]
    matched = sum(success for _, _, success in rows)
    acted = {
        role: _first(record.returns[role], now) - _first(record.returns[role], start)
        for role in Role
    }
    heartbeats = record.fleet.users * (now - start) / 15_000_000
    kind = KindEvidence(
        Kind.APP,
        period,
        epoch,
        matched=matched,
        mismatched=len(rows) - matched,
        expected=sum(start <= at < now for at in record.explained),
        users=users,
        days=len({at // DAY for _, at, _ in rows}),
        acted=acted,
        pings=int(heartbeats * record.fleet.pings),
        heartbeats=heartbeats,
    )
    return judge(
        Evidence(
            now=now,
            period_start=start,
            period_end=now,
            epoch_start=0,
            kinds=(kind,),
            failures=record.fleet.failures,
            expired_rules=record.fleet.expired,
        ),
        TARGETS,
    )


def hourly(fleet: Fleet, seed: int, every: int = 1) -> Iterator[GateAnswer]:
    """The answers, asked so often in the fleet's days."""
    record = happen(fleet, seed)
    epochs = Samples(record)
    for hour in range(every, fleet.days * 24 + 1, every):
        yield ask(record, hour * HOUR, epochs)


def first_verdict(fleet: Fleet, seed: int) -> tuple[GateVerdict, int, int] | None:
    """What the gate says first but `insufficient`, the hour, and the users observed by then.

    It is asked every hour whether it is `ready`, and whether it is `not_ready` every day of the first
    week and every week thereafter. Hours in which the epoch's agreement alone rules out `ready` are
    not asked in full: that would take most of the time.
    """
    record = happen(fleet, seed)
    epochs = Samples(record)
    for hour in range(1, fleet.days * 24 + 1):
        now = hour * HOUR
        agreed = epochs.agreement(now)
        if hour % (24 if now <= TARGETS.period else 168) and not _may_be_ready(agreed, epochs, now):
            continue
        said = ask(record, now, epochs).verdict
        if said is not GateVerdict.INSUFFICIENT:
            return said, hour, agreed.users
    return None


def ask(record: Record, now: int, epochs: Samples) -> GateAnswer:
    """The gate's answer at `now`."""
    recent = epochs if now <= TARGETS.period else Samples(record, now - TARGETS.period)
    return answer(record, now, epochs.at(now), recent.at(now), recent.agreement(now).users)


def _may_be_ready(agreed: Observed, epochs: Samples, now: int) -> bool:
    if log_e_value(agreed.shares, TARGETS.min_agreement) < log(E_VALUE):
        return False
    returns = epochs.at(now).returns
    control, candidate = (returns[role] for role in Role)
    return certainly_lower(control, candidate, SEQUENCE_ALPHA, -TARGETS.return_margin)
