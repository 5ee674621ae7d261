"""Fleets whose truth is stated, for the table of the README: what the gate must not say about them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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


class Rare(NamedTuple):
    """So many of the users are seldom seen, and the monitors agree less about them."""

    users: float = 0.0
    per_day: float = 0.0
    agreement: float = 1.0


class BadDays(NamedTuple):
    """Each day is bad with this probability, and then for everybody."""

    share: float = 0.0
    agreement: float = 1.0


_NO_RARE, _NO_BAD_DAYS = Rare(), BadDays()


@dataclass(frozen=True)
class Fleet:
    """What is true.

    Attributes:
        per_day: timeouts of a user a day, a Poisson number.
        agreement: of the episodes that compare the monitors: those of users for whom the control acts.
        later: how many come back after the candidate's second and later closing; None: as after the first.
        edits: the settings change so often, in days; each change begins a trial.
        proofs: the share of the candidate's closings that hit a living connection.
        expected: episodes that a rule explains, in the whole trial.
        pings: the share of its heartbeat intervals in which the candidate pings.
        lost: so many of the candidate's users are never registered.
        rare, bad_days: what a week may not show.
        braked: on this day a person engages the brake, and nobody releases it.
        asked_from: on this day, from 0, the gate is asked first. Before the seventh day only facts, like
            the sample ratio, make an answer.
        runs: how many runs are enough; long runs of distant truths are few.
        before: how often the gate before this one was wrong, as an independent generator found it.
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
    rare: Rare = _NO_RARE
    bad_days: BadDays = _NO_BAD_DAYS
    braked: int | None = None
    asked_from: int = 6
    runs: int = 100
    before: str = ""


def _returns(
    control: float | Daily, candidate: float | Daily, live: float | Daily = 0.5
) -> Mapping[str, Group]:
    """One group with these return rates."""
    daily = [part if callable(part) else always(part) for part in (live, control, candidate)]
    return {"everybody": Group(1.0, *daily)}


def _plan(day: int) -> float:
    """The runbook's plan: how many are at `live`, the deciding week from day 5 on."""
    return (0.0, 0.0, 0.01, 0.1, 0.5)[min(day, 4)]


FORBIDDEN: dict[str, Fleet] = {
    "perfect; a person engages the brake on day 10": Fleet(
        braked=9, asked_from=9, days=14, runs=20, before="always"
    ),
    "agreement 99 % (the border)": Fleet(agreement=always(0.99)),
    "agreement 98 %": Fleet(agreement=always(0.98)),
    "99 %, an outage on day 10 hits half of all, matched": Fleet(
        agreement=always(0.99), outages=(Outage(9, 0.5, 1.0),)
    ),
    "agreement falls to 0 % on day 12, asked from 6 h later": Fleet(
        agreement=change(12, 1.0, 0.0),
        per_day=3.0,
        users=1000,
        days=20,
        asked_from=12,
        before="80 %",
    ),
    "returns fall to 30 % on day 12, asked from 6 h later": Fleet(
        groups=_returns(0.98, change(12, 0.98, 0.3)),
        per_day=3.0,
        users=1000,
        days=20,
        asked_from=12,
        before="92 %",
    ),
    "8 stalls, each wrong about 30 % of all users": Fleet(
        per_day=1.4,
        days=14,
        outages=tuple(Outage(day, 0.3, 0.0) for day in (0, 1, 2, 3, 4, 5, 6, 6)),
        before="100 %",
    ),
    "returns 10 points lower, both rise while shares move": Fleet(
        groups=_returns(change(4, 0.6, 0.95), change(4, 0.5, 0.85), change(4, 0.1, 0.9)),
        before="100 %",
    ),
    "returns 99 % the first time, 50 % later": Fleet(
        groups=_returns(0.99, 0.99), later=0.5, before="100 %"
    ),
    "holdback 5 %, daily outages of 10 %, 12 points lower": Fleet(
        groups=_returns(0.95, 0.83, 0.95),
        outages=tuple(Outage(day, 0.1, 1.0, 0.5) for day in range(30)),
        before="92 %",
    ),
    "weekends 96.6 %, else 99.95 %; begun on a Monday": Fleet(
        agreement=weekend(0.9995, 0.966), before="100 %"
    ),
    "99 %, settings edited every 4 days, a month": Fleet(
        agreement=always(0.99), edits=4, runs=20, before="15 %"
    ),
    "99 %, settings edited every 4 days, a year": Fleet(
        agreement=always(0.99), edits=4, days=365, users=1000, runs=10, before="88 %"
    ),
    "99 %, settings edited every 8 days, a year": Fleet(
        agreement=always(0.99), edits=8, days=365, users=1000, runs=10
    ),
    "returns 5 points lower (the border)": Fleet(groups=_returns(0.95, 0.90)),
    "returns 20 points lower": Fleet(groups=_returns(0.95, 0.75), days=14),
    "returns 8 points lower from day 12, asked from day 19": Fleet(
        groups=_returns(0.95, change(12, 0.95, 0.87)), asked_from=19
    ),
    "agreement decays 99.95 to 97 %, asked from day 17": Fleet(
        agreement=decay(0.9995, 0.97, 30), asked_from=17
    ),
    "2.1 % of the candidate's users with a proof of life": Fleet(proofs=0.003),
    "the candidate never pings": Fleet(pings=0.0, days=10, runs=20),
    "3 % of the episodes explained by a rule": Fleet(expected=300, days=10, runs=20),
    "an arm loses 20 % of its registrations, 8 000 users": Fleet(
        lost=0.2, days=10, users=8000, asked_from=0
    ),
    "60 users": Fleet(users=60, runs=20),
}
"""Fleets about which the gate must not say `ready`."""

ALLOWED: dict[str, Fleet] = {
    "perfect, 1 000 users, day 8": Fleet(users=1000, days=8),
    "perfect, 1 500 users, day 8": Fleet(users=1500, days=8),
    "perfect, 3 000 users, day 8": Fleet(users=3000, days=8),
    "perfect, 8 000 users, day 8": Fleet(users=8000, days=8),
    "99.8 %, 3 000 users, day 8": Fleet(agreement=always(0.998), days=8),
    "99.5 %, 8 000 users, day 8": Fleet(agreement=always(0.995), users=8000, days=8),
    "the runbook's plan, 1 500 users, day 12": Fleet(
        groups=_returns(0.98, 0.98, _plan), users=1500, days=12, before="never ready"
    ),
    "the runbook's plan, 3 000 users, day 12": Fleet(
        groups=_returns(0.98, 0.98, _plan), days=12, before="never ready"
    ),
    "returns equal, the network worsens while shares move": Fleet(
        groups=_returns(change(10, 0.98, 0.8), change(10, 0.98, 0.8), change(10, 0.2, 0.5)),
        days=18,
        before="87 % not_ready",
    ),
    "returns equal, two rules with different percentages": Fleet(
        groups={
            "rule": Group(0.5, always(0.8), always(0.98), always(0.98)),
            "everybody": Group(0.5, always(0.2), always(0.8), always(0.8)),
        },
        days=10,
        before="100 % not_ready",
    ),
    "3 of 15 000 episodes explained, the others matched": Fleet(
        per_day=1.4, expected=3, days=8, before="100 % not_ready"
    ),
    "stretches, 99.5 %, 2 000 users, 90 days": Fleet(
        agreement=always(0.995), days=90, users=2000, runs=40
    ),
    "stretches, 99.9 %, 2 000 users, 90 days": Fleet(
        agreement=always(0.999), days=90, users=2000, runs=40
    ),
}
"""Fleets about which the gate must not say `not_ready`."""

UNKNOWABLE: dict[str, Fleet] = {
    "1 of 5 users is seen each 40 days, with 94 %": Fleet(rare=Rare(0.2, 0.025, 0.94), days=10),
    "one day in ten is bad for all (90 %)": Fleet(bad_days=BadDays(0.1, 0.9), days=10),
    "an arm loses 20 % of its registrations, 3 000 users": Fleet(lost=0.2, days=10, asked_from=0),
}
"""Fleets that are not as they should be, and about which a week cannot always say so."""

FLEETS = FORBIDDEN | ALLOWED | UNKNOWABLE
