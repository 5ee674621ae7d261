"""Evidence that is ready, to be spoilt in one thing at a time."""

from dataclasses import dataclass, replace
from typing import Any

from shim.gate.answer import Condition, GateAnswer
from shim.gate.evidence import Evidence, Heartbeats, KindEvidence, SampleSoFar, StretchSample
from shim.gate.judge import judge
from shim.gate.sample_ratio import ArmUsers
from shim.gate.statistics import Counted, Shares
from shim.gate.trial import Trial, TrialIdentity
from shim.model import SECOND, Duration, Kind, Return, Role

DAY = 86_400 * SECOND
NOW = 20_000 * DAY
GROUP = "everybody"


@dataclass(frozen=True)
class Targets:
    """The defaults of R16, told once more."""

    period: Duration = 7 * DAY
    unit: Duration = DAY
    grain: Duration = 60 * SECOND
    min_timeouts: int = 300
    min_users: int = 300
    min_days: int = 3
    min_agreement: float = 0.99
    return_margin: float = 0.05
    max_proofs: float = 0.02
    max_expected: float = 0.005


@dataclass(frozen=True)
class BrakeLimits:
    """The defaults of R22, told once more."""

    window: Duration = 900 * SECOND
    count: int = 5
    share: float = 0.01
    spread: int = 3


TARGETS = Targets()
HALVES = {Role.CONTROL: 0.5, Role.CANDIDATE: 0.5}


def bernoulli(successes: int, trials: int) -> Shares:
    return {(1, 1): successes, (0, 1): trials - successes}


def both(shares: Shares) -> Counted:
    """The same in both ways of counting: there was no crowd."""
    return Counted(shares, shares)


def arms(control: Shares, candidate: Shares) -> dict[Role, Counted]:
    return {Role.CONTROL: both(control), Role.CANDIDATE: both(candidate)}


def counts(control: int, candidate: int) -> dict[Role, int]:
    return {Role.CONTROL: control, Role.CANDIDATE: candidate}


AGREEING = both({(5, 5): 900, (2, 2): 100})
BAD = both({(5, 5): 900, (0, 5): 90})
RETURNING = {GROUP: arms(bernoulli(1960, 2000), bernoulli(1960, 2000))}
FEWER = {GROUP: arms(bernoulli(1960, 2000), bernoulli(1560, 2000))}
STRETCH = StretchSample("2024-10-04", 1, agreement=AGREEING, returns=RETURNING)
OFF = {GROUP: ArmUsers(counts(600, 400), 0, HALVES)}
"""The users of an arm are not where the widths place them."""

APP = KindEvidence(
    Kind.APP,
    agreement=AGREEING,
    so_far=SampleSoFar(AGREEING, RETURNING, AGREEING),
    days=8,
    returns=RETURNING,
    proofs=both(bernoulli(0, 2000)),
    stretches=(STRETCH,),
    recent_agreement=AGREEING,
    recent_returns=RETURNING,
    matched=4_700,
    mismatched=0,
    users=1_000,
    unsettled_users=12,
    acted=counts(2_500, 2_400),
    proofs_of_life=counts(0, 0),
    outcomes={role: {Return.RETURNED: 2_300, Return.LOST: 46, Return.REPLACED: 3} for role in Role},
    heartbeats=(Heartbeats("p1", 1_000_000, 1_000_100.5),),
    arms={GROUP: ArmUsers(counts(501, 499), 2, HALVES)},
)

TRIAL = Trial(TrialIdentity("m", "c", "f"), NOW - 8 * DAY, None, "start", ())


def evidence(*kinds: KindEvidence, **changes: Any) -> Evidence:
    """Eight days of a trial; of apps alone if no kinds are given."""
    whole = Evidence(
        now=NOW,
        trial=TRIAL,
        days_acted=(True,) * 7,
        complete_until=NOW - 60 * SECOND,
        kinds=kinds or (APP,),
    )
    return replace(whole, **changes)


def changed(**changes: Any) -> Evidence:
    """The same, with these changes in what the apps' connections showed."""
    return evidence(replace(APP, **changes))


def day(ordinal: int, **changes: Any) -> StretchSample:
    """A day of a trial as ready as the others, but for these changes."""
    sample = StretchSample(f"day {ordinal}", ordinal, agreement=AGREEING, returns=RETURNING)
    return replace(sample, **changes)


def condition(answer: GateAnswer, name: str, kind: Kind | None = None) -> Condition:
    return next(
        each
        for each in answer.conditions
        if each.name == name and (kind is None or each.kind is kind)
    )


def judged(name: str, whole: Evidence) -> Condition:
    """This condition, judged by the defaults at the end of a period."""
    return condition(judge(whole, TARGETS), name)
