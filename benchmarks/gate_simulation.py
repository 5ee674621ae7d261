"""How often the gate is wrong about fleets whose truth is known: the table of the README.

`python -m benchmarks.gate_simulation [--seeds 20] [--only WORDS]`. The generator below draws rows from stated
truths and shares nothing with `shim.simulate`. The gate's own record and judge are asked once a day, six
hours after midnight, from the first row to the last day of the fleet.

What this benchmark does not measure: users who are rarely seen, correlation within a day, the brake.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import log
from statistics import median
from typing import NamedTuple

import click
import numpy as np

from shim.gate import (
    Arm,
    Evidence,
    GateAnswer,
    GateVerdict,
    Heartbeats,
    KindEvidence,
    KindRecord,
    ObservedRow,
    QuestionTimes,
    Standing,
    Trial,
    TrialIdentity,
    TrialUsers,
    count_attempts,
    judge,
)
from shim.gate.statistics import log_e_value, wilson
from shim.model import SECOND, Kind, Role, Time
from shim.settings.sections import GateSettings

DAY = 86_400 * SECOND
ASKED_AT = 6 * 3600 * SECOND
BEGIN = 20_003 * DAY
"""A Monday, 00:00 UTC."""

RETURN_WINDOW = 135 * SECOND
TARGETS = GateSettings()

Daily = Callable[[int], float]
"""A probability for each day of the fleet, from 0."""


def always(share: float) -> Daily:
    return lambda day: share


_HALF, _MOST, _ALL = always(0.5), always(0.98), always(1.0)


def change(day: int, before: float, after: float) -> Daily:
    """One share before a day, another one from it on."""
    return lambda at: before if at < day else after


def decay(begin: float, end: float, days: int) -> Daily:
    """From one share to another one, by the same amount each day."""
    return lambda day: begin + (end - begin) * min(day / days, 1.0)


def weekend(otherwise: float, share: float) -> Daily:
    """A share on Saturdays and Sundays, another one on the other days."""
    return lambda day: share if day % 7 in (5, 6) else otherwise


@dataclass(frozen=True)
class Group:
    """Users whom the same percentages place.

    Attributes:
        share: of all users.
        live: the share of the group for whom the candidate acts.
        control, candidate: how many come back after each monitor's closing.
    """

    share: float = 1.0
    live: Daily = _HALF
    control: Daily = _MOST
    candidate: Daily = _MOST


class Outage(NamedTuple):
    """Within 20 s of one moment so many of the users have a timeout.

    `agreement` of these episodes (None: as at any other time); `returns`: so many times as many come back.
    """

    day: int
    users: float
    agreement: float | None = None
    returns: float = 1.0


@dataclass(frozen=True)
class Fleet:
    """What is true.

    Attributes:
        per_day: timeouts of a user a day, a Poisson number.
        agreement: of the episodes that compare the monitors: those of users for whom the control acts.
        later: how many come back after the candidate's second and later closing; None: as after the first.
        edits: the settings change so often, in days; each change begins a trial.
        proofs: the share of the candidate's closings that hit a living connection.
        lost: so many of the candidate's users are never registered.
        asked_from: answers before this day (and hour 6) do not count.
    """

    users: int = 3000
    days: int = 30
    per_day: float = 1.0
    agreement: Daily = _ALL
    groups: Mapping[str, Group] = field(default_factory=lambda: {"everybody": Group()})
    later: float | None = None
    outages: tuple[Outage, ...] = ()
    edits: int | None = None
    proofs: float = 0.0
    expected: int = 0
    pings: float = 1.0
    lost: float = 0.0
    asked_from: int = 0


def _returns(
    control: float | Daily, candidate: float | Daily, live: float | Daily = 0.5
) -> Mapping[str, Group]:
    """One group with these return rates."""
    daily = [part if callable(part) else always(part) for part in (live, control, candidate)]
    return {"everybody": Group(1.0, *daily)}


FORBIDDEN: dict[str, Fleet] = {
    "agreement 99 % (the border)": Fleet(agreement=always(0.99)),
    "agreement 98 %": Fleet(agreement=always(0.98)),
    "99 %, an outage on day 10 hits half of all, matched": Fleet(
        agreement=always(0.99), outages=(Outage(9, 0.5, 1.0),)
    ),
    "agreement falls to 0 % on day 12, asked from 6 h later": Fleet(
        agreement=change(12, 1.0, 0.0), per_day=3.0, days=20, asked_from=12
    ),
    "returns fall to 30 % on day 12, asked from 6 h later": Fleet(
        groups=_returns(0.98, change(12, 0.98, 0.3)), per_day=3.0, days=20, asked_from=12
    ),
    "8 stalls, each wrong about 30 % of all users": Fleet(
        per_day=1.4,
        days=14,
        outages=tuple(Outage(day, 0.3, 0.0) for day in (0, 1, 2, 3, 4, 5, 6, 6)),
    ),
    "returns 10 points lower, both rise while shares move": Fleet(
        groups=_returns(change(4, 0.6, 0.95), change(4, 0.5, 0.85), change(4, 0.1, 0.9))
    ),
    "returns 99 % the first time, 50 % later": Fleet(groups=_returns(0.99, 0.99), later=0.5),
    "holdback 5 %, daily outages, 12 points lower": Fleet(
        groups=_returns(0.95, 0.83, 0.95),
        outages=tuple(Outage(day, 0.1, 1.0, 0.5) for day in range(30)),
    ),
    "weekends 96.6 %, else 99.95 %; begun on a Monday": Fleet(agreement=weekend(0.9995, 0.966)),
    "99 %, settings edited every 8 days, 90 days": Fleet(
        agreement=always(0.99), edits=8, days=90, users=2000
    ),
    "returns 5 points lower (the border)": Fleet(groups=_returns(0.95, 0.90)),
    "returns 20 points lower": Fleet(groups=_returns(0.95, 0.75)),
    "returns 8 points lower from day 12, asked from day 19": Fleet(
        groups=_returns(0.95, change(12, 0.95, 0.87)), asked_from=19
    ),
    "agreement decays 99.95 to 97 %, asked from day 17": Fleet(
        agreement=decay(0.9995, 0.97, 30), asked_from=17
    ),
    "2.1 % of the candidate's users with a proof of life": Fleet(proofs=0.003),
    "the candidate never pings": Fleet(pings=0.0, days=10),
    "3 % of the episodes explained by a rule": Fleet(expected=300, days=10),
    "an arm loses 20 % of its registrations": Fleet(lost=0.2, days=10),
    "60 users": Fleet(users=60),
}
"""Fleets about which the gate must not say `ready`."""

ALLOWED: dict[str, Fleet] = {
    "perfect, 1 000 users, day 8": Fleet(users=1000, days=8),
    "perfect, 1 500 users, day 8": Fleet(users=1500, days=8),
    "perfect, 3 000 users, day 8": Fleet(users=3000, days=8),
    "perfect, 8 000 users, day 8": Fleet(users=8000, days=8),
    "99.8 %, 3 000 users, day 8": Fleet(agreement=always(0.998), days=8),
    "99.5 %, 8 000 users, day 8": Fleet(agreement=always(0.995), users=8000, days=8),
    "returns equal, the network worsens while shares move": Fleet(
        groups=_returns(change(10, 0.98, 0.8), change(10, 0.98, 0.8), change(10, 0.2, 0.5)), days=18
    ),
    "returns equal, two rules with different percentages": Fleet(
        groups={
            "rule": Group(0.5, always(0.8), always(0.98), always(0.98)),
            "everybody": Group(0.5, always(0.2), always(0.8), always(0.8)),
        },
        days=10,
    ),
    "perfect but for 3 explained episodes": Fleet(expected=3, days=8),
    "stretches, 99.5 %, 90 days": Fleet(agreement=always(0.995), days=90, users=2000),
    "stretches, 99.9 %, 90 days": Fleet(agreement=always(0.999), days=90, users=2000),
}
"""Fleets about which the gate must not say `not_ready`."""

FLEETS = FORBIDDEN | ALLOWED


@dataclass
class Found:
    """What the gate said of one fleet; days count from 1."""

    ready: int | None = None
    not_ready: int | None = None
    stretches: bool = False


class _Rows(NamedTuple):
    agreements: list[ObservedRow]
    returns: list[ObservedRow]
    proofs: list[ObservedRow]

    def before(self, at: Time) -> "_Rows":
        return _Rows(*([row for row in rows if row.at <= at] for rows in self))

    def after(self, at: Time) -> "_Rows":
        return _Rows(*([row for row in rows if row.at > at] for rows in self))


class _Generator:
    """Draws the rows of one fleet, day by day."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet = fleet
        self._random = np.random.default_rng(seed)
        shares = [group.share for group in fleet.groups.values()]
        self._group = self._random.choice(len(shares), fleet.users, p=shares)
        self._bucket = self._random.random(fleet.users)
        self._lost = self._random.random(fleet.users) < fleet.lost
        self._closed_before: set[int] = set()

    def rows(self, day: int) -> _Rows:
        """The rows of a day, those of returns and proofs by the ends of their windows."""
        found = _Rows([], [], [])
        begin = BEGIN + day * DAY
        for user, offset, outage in sorted(self._timeouts(day), key=lambda timeout: timeout[1]):
            self._draw(found, day, user, begin + offset, outage)
        for rows in found:
            rows.sort(key=lambda row: row.at)
        return found

    def _timeouts(self, day: int) -> Iterator[tuple[int, int, Outage | None]]:
        fleet, random = self.fleet, self._random
        counts = random.poisson(fleet.per_day, fleet.users)
        users = np.repeat(np.arange(fleet.users), counts)
        # No window reaches into the next day, where another trial may have begun.
        offsets = random.integers(0, DAY - 2 * RETURN_WINDOW, len(users))
        yield from ((int(user), int(at), None) for user, at in zip(users, offsets, strict=True))
        for outage in fleet.outages:
            if outage.day != day:
                continue
            start = int(random.integers(DAY // 2, DAY - 3 * RETURN_WINDOW))
            for user in np.flatnonzero(random.random(fleet.users) < outage.users):
                yield int(user), start + int(random.integers(0, 20 * SECOND)), outage

    def _draw(self, found: _Rows, day: int, user: int, at: Time, outage: Outage | None) -> None:
        fleet, random = self.fleet, self._random
        name, group = list(fleet.groups.items())[self._group[user]]
        acting = Role.CANDIDATE if self._bucket[user] < group.live(day) else Role.CONTROL
        if acting is Role.CANDIDATE and self._lost[user]:
            return
        arm, text = Arm(name, acting), f"u{user}"
        if acting is Role.CONTROL:
            agreement = fleet.agreement(day)
            if outage is not None and outage.agreement is not None:
                agreement = outage.agreement
            found.agreements.append(ObservedRow(text, at, random.random() < agreement, arm, 1))
        returned = (group.control if acting is Role.CONTROL else group.candidate)(day)
        if acting is Role.CANDIDATE and fleet.later is not None and user in self._closed_before:
            returned = fleet.later
        if acting is Role.CANDIDATE:
            self._closed_before.add(user)
        if outage is not None:
            returned *= outage.returns
        ends = at + RETURN_WINDOW
        found.returns.append(ObservedRow(text, ends, random.random() < returned, arm, 1))
        proof = acting is Role.CANDIDATE and random.random() < fleet.proofs
        found.proofs.append(ObservedRow(text, ends, proof, arm, 1))


class _TrialRun:
    """One trial of a fleet: its record, and what was counted of it."""

    def __init__(self, fleet: Fleet, day: int) -> None:
        self.fleet = fleet
        self.widths = _widths(fleet, day)
        identity = TrialIdentity("monitors", "comparison", str(day))
        self.trial = Trial(identity, BEGIN + day * DAY, None, "start", ())
        times = QuestionTimes(self.trial.since, TARGETS.period, TARGETS.unit, TARGETS.grain)
        self._record = KindRecord(times, lambda at, run: fleet.users, self._shares)
        self._agreed = {True: 0, False: 0}
        self._acted = dict.fromkeys(Role, 0)

    def _shares(self, group: str) -> Mapping[Role, float]:
        live = self.widths[group]
        return {Role.CONTROL: 1 - live, Role.CANDIDATE: live}

    def add(self, rows: _Rows) -> None:
        self._record.add_agreements(rows.agreements)
        self._record.add_returns(rows.returns)
        self._record.add_proofs(rows.proofs)
        for row in rows.agreements:
            self._agreed[row.success] += 1
        for row in rows.returns:
            self._acted[row.arm.role] += 1

    def evidence(self, now: Time, attempt: int) -> Evidence:
        fleet = self.fleet
        kind = KindEvidence(
            Kind.APP,
            matched=self._agreed[True],
            mismatched=self._agreed[False],
            expected=fleet.expected,
            acted=dict(self._acted),
            heartbeats=(Heartbeats("p", round(10**6 * fleet.pings), 10**6),),
            **self._record.observe(now).fields(),
        )
        days = min(-(-(now - self.trial.since) // DAY), TARGETS.period // DAY)
        return Evidence(
            now,
            self.trial,
            attempt,
            days_acted=(True,) * days,
            watched=now - self.trial.since,
            complete_until=now,
            kinds=(kind,),
        )

    def users(self) -> TrialUsers:
        fleet = self.fleet
        live = sum(group.share * self.widths[name] for name, group in fleet.groups.items())
        return TrialUsers(fleet.users * (1 - live), fleet.users * live)

    def ended(self, until: Time) -> tuple[Trial, TrialUsers]:
        trial = self.trial
        return Trial(trial.identity, trial.since, until, trial.began_by, ()), self.users()


def ask(name: str, seed: int) -> Found:
    """The gate's answers about one fleet, once a day."""
    fleet = FLEETS[name]
    generator, found = _Generator(fleet, seed), Found()
    earlier: list[tuple[Trial, TrialUsers]] = []
    run = _TrialRun(fleet, 0)
    for day in range(fleet.days):
        begin = BEGIN + day * DAY
        if day and (_widths(fleet, day) != run.widths or (fleet.edits and day % fleet.edits == 0)):
            earlier.append(run.ended(begin))
            run = _TrialRun(fleet, day)
        rows, now = generator.rows(day), begin + ASKED_AT
        run.add(rows.before(now))
        if day >= fleet.asked_from:
            attempt = count_attempts([*earlier, (run.trial, run.users())], TARGETS.unit, now)
            _note(found, day + 1, judge(run.evidence(now, attempt), TARGETS))
        run.add(rows.after(now))
    return found


def _note(found: Found, day: int, answer: GateAnswer) -> None:
    if answer.verdict is GateVerdict.READY:
        found.ready = found.ready or day
    elif answer.verdict is GateVerdict.NOT_READY:
        found.not_ready = found.not_ready or day
    found.stretches |= any(
        one.name == "stretches" and one.standing is Standing.FAILED for one in answer.conditions
    )


def _widths(fleet: Fleet, day: int) -> dict[str, float]:
    return {name: group.live(day) for name, group in fleet.groups.items()}


@click.command()
@click.option("--seeds", default=20, show_default=True, help="Runs of each fleet.")
@click.option("--only", default="", help="Only the fleets whose name contains these words.")
@click.option("--jobs", default=os.cpu_count(), show_default=True, help="Processes.")
def main(seeds: int, only: str, jobs: int) -> None:
    with ProcessPoolExecutor(jobs) as pool:
        for title, fleets in (("must not be ready", FORBIDDEN), ("must not be not_ready", ALLOWED)):
            print(f"{title:54} runs   ready  (day)  not_ready  (day)  a stretch refutes")
            for name in fleets:
                if only in name:
                    found = list(pool.map(partial(ask, name), range(seeds)))
                    print(_describe(name, found), flush=True)
    if not only:
        _border()


def _describe(name: str, found: Sequence[Found]) -> str:
    columns = []
    for days in ([one.ready for one in found], [one.not_ready for one in found]):
        known = [day for day in days if day is not None]
        middle = f"{median(known):.0f}" if known else "-"
        columns.append(f"{len(known) / len(found):7.1%} {middle:>6}")
    stretches = sum(one.stretches for one in found) / len(found)
    return f"{name:54} {len(found):4d} {'   '.join(columns)} {stretches:18.1%}"


def _border() -> None:
    """The exact share of wrong answers at the border, asked after each of 5 000 independent users."""
    print("\nagreement exactly 99 %, asked after every user up to 5 000: wrongly shown, exactly")
    for name, test in (
        ("e-value of 40, the gate's first trial", partial(_betting, 40.0)),
        ("e-value of 20", partial(_betting, 20.0)),
        ("Wilson's lower bound, from the 300th user on", _wilson),
    ):
        print(f"{name:54} {_exact(0.99, 5000, test):7.2%}")


def _exact(truth: float, most: int, test: Callable[[int, int], bool]) -> float:
    """The probability that the test ever passes, by recursion over the number of failures."""
    # With so many failures, the test passes from so many users on.
    passes = [_first_pass(failures, most, test) for failures in range(most // 50)]
    alive, passed = np.zeros(len(passes)), 0.0
    alive[0] = 1.0
    needed = np.array(passes)
    for users in range(1, most + 1):
        failed = np.concatenate(([0.0], alive[:-1])) * (1 - truth)
        alive = alive * truth + failed
        over = needed <= users
        passed += alive[over].sum()
        alive[over] = 0.0
    return float(passed)


def _first_pass(failures: int, most: int, test: Callable[[int, int], bool]) -> int:
    """The fewest users with so many failures at which the test passes; more than `most` if it does not."""
    low, high = failures, most + 1
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if test(middle - failures, middle) else (middle, high)
    return high


def _betting(wanted: float, successes: int, users: int) -> bool:
    return log_e_value({(1, 1): successes, (0, 1): users - successes}, 0.99) >= log(wanted)


def _wilson(successes: int, users: int) -> bool:
    # One-sided 95 %, as the e-value is.
    bounds = wilson(successes, users, z=1.644854)
    return users >= 300 and bounds is not None and bounds[0] >= 0.99


if __name__ == "__main__":
    main()
