"""Evidence that is ready, to be spoilt in one thing at a time."""

from dataclasses import replace
from typing import Any, TypeVar

from shim.gate import Condition, Evidence, GateAnswer, KindEvidence, Sample, Shares
from shim.model import SECOND, Kind, Return, Role
from shim.settings.sections import GateSettings

DAY = 86_400 * SECOND
NOW = 20_000 * DAY
TARGETS = GateSettings()

T = TypeVar("T")


def bernoulli(successes: int, trials: int) -> Shares:
    return {(1, 1): successes, (0, 1): trials - successes}


def arms(control: T, candidate: T) -> dict[Role, T]:
    return {Role.CONTROL: control, Role.CANDIDATE: candidate}


SAMPLE = Sample(
    agreement={(5, 5): 900, (2, 2): 100},
    returns=arms(bernoulli(1960, 2000), bernoulli(1960, 2000)),
    proofs=arms(bernoulli(0, 2000), bernoulli(0, 2000)),
)

APP = KindEvidence(
    Kind.APP,
    period=SAMPLE,
    epoch=SAMPLE,
    matched=4_700,
    mismatched=0,
    users=1_000,
    unsettled_users=12,
    days=5,
    acted=arms(2_500, 2_400),
    proofs=arms(0, 0),
    outcomes={role: {Return.RETURNED: 2_300, Return.LOST: 46, Return.REPLACED: 3} for role in Role},
    pings=1_000_000,
    heartbeats=1_000_100.5,
)


def evidence(*kinds: KindEvidence, **changes: Any) -> Evidence:
    """Five days of a period; of apps alone if no kinds are given."""
    whole = Evidence(
        now=NOW,
        period_start=NOW - 5 * DAY,
        period_end=NOW,
        epoch_start=NOW - 5 * DAY,
        kinds=kinds or (APP,),
    )
    return replace(whole, **changes)


def with_sample(**changes: Any) -> KindEvidence:
    sample = replace(SAMPLE, **changes)
    return replace(APP, period=sample, epoch=sample)


def condition(answer: GateAnswer, name: str, kind: Kind | None = None) -> Condition:
    return next(
        each
        for each in answer.conditions
        if each.name == name and (kind is None or each.kind is kind)
    )
