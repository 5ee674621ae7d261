"""Fleets whose truth is known, asked every hour: `benchmarks/gate_simulation.py` has the whole tables."""

from typing import Any

import pytest

from shim.gate import GateVerdict
from shim.model import Role
from tests.gate.fleets import Fleet, first_verdict, hourly

SMALL: Any = {"users": 1_200, "days": 8}


def verdicts(fleet: Fleet, seeds: int) -> list[GateVerdict | None]:
    """What the gate says first but `insufficient`; None: nothing else in all the days."""
    found = [first_verdict(fleet, seed) for seed in range(seeds)]
    return [hit and hit[0] for hit in found]


@pytest.mark.parametrize(
    "fleet",
    [
        Fleet(disagreement=0.01, **SMALL),
        Fleet(disagreement=0.01, correlation=0.3, burst=10, per_day=5, **SMALL),
        Fleet(disagreement=0.01, outage=12, **SMALL),
        Fleet(returns={Role.CONTROL: 0.95, Role.CANDIDATE: 0.90}, **SMALL),
        Fleet(returns={Role.CONTROL: 0.95, Role.CANDIDATE: 0.90}, outage=12, **SMALL),
    ],
    ids=["disagreement", "correlated", "outage", "returns", "returns-outage"],
)
def test_at_the_border_ready_is_hardly_ever_said(fleet: Fleet) -> None:
    # If it were said in 5 % of all runs, more than 3 of 20 would come up in 2 % of all tries.
    assert verdicts(fleet, 20).count(GateVerdict.READY) <= 3


@pytest.mark.parametrize(
    "fleet",
    [
        Fleet(disagreement=0.06, **SMALL),
        Fleet(disagreement=0.03, hidden=1.0, **SMALL),
        Fleet(returns={Role.CONTROL: 0.95, Role.CANDIDATE: 0.75}, **SMALL),
        Fleet(pings=0.0, **SMALL),
        Fleet(expired=("old",), **SMALL),
        Fleet(failures=1, **SMALL),
        Fleet(proofs={Role.CONTROL: 0.0, Role.CANDIDATE: 0.05}, **SMALL),
    ],
    ids=["disagreement", "hidden", "returns", "pings", "expired", "failures", "proofs"],
)
def test_a_bad_candidate_is_not_ready(fleet: Fleet) -> None:
    assert set(verdicts(fleet, 4)) == {GateVerdict.NOT_READY}


def test_a_good_candidate_becomes_ready() -> None:
    assert set(verdicts(Fleet(disagreement=0.001, users=4_000, days=7), 5)) == {GateVerdict.READY}


def test_a_small_fleet_is_told_what_is_missing_every_hour() -> None:
    for said in hourly(Fleet(users=60, days=8), seed=1, every=6):
        assert said.verdict is GateVerdict.INSUFFICIENT
        assert "users" in {condition.name for condition in said.unmet}
