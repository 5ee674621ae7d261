"""What is left out changes nothing: verdict by verdict the same as when every heartbeat takes place."""

from typing import Any

import pytest

from shim.model import SECOND, Time, VerdictKind
from shim.router import Observer
from shim.simulate.link import SimulatedConnection
from shim.simulate.recording import SimulationRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulation import Simulation
from tests.simulate.helpers import SDK, records, scenario

PHONE = {
    "kind": "glasses",
    "message_every": "40s",
    "freezes": {"per_day": 40.0, "duration": {"median": "20s", "sigma": 1.0, "max": "10m"}},
    "drops": {"per_day": 10.0, "duration": {"table": {"5s": 0.3, "40s": 0.3, "100s": 0.4}}},
    "leaves": {"per_day": 10.0, "duration": {"median": "2m", "sigma": 1.0}},
    "lossy": {"per_day": 8.0, "duration": {"median": "4m"}, "loss": 0.8},
}
APP = {
    "connections": 2,
    "loss": 0.02,
    "reconnect": SDK,
    "away": {"median": "10m"},
    "freezes": {
        "per_day": 40.0,
        "duration": {"median": "15s", "sigma": 1.2, "max": "10m"},
        "again": {"probability": 0.5, "after": "5s"},
    },
}
STORMY = {
    "deploys": [{"at": "2h", "downtime": "5s"}],
    "pauses": [
        {"at": "30m", "duration": "12s"},
        {"at": "1h", "duration": "40s"},
        {"at": "3h", "duration": "26s"},
    ],
    "cuts": [{"at": "90m", "duration": "100s", "users": 0.5}, {"at": "200m", "duration": "20s"}],
}
STAGES = {"default": "off", "holdback": 10, "percent": {"complete": 20, "live": 40, "shadow": 30}}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"rollout": STAGES, "server": {**STORMY, "replaces": False}},
        {"candidate": {"early": {"share": 0.2, "by": "10s"}, "miss": {"share": 0.2}}},
        {"brake": True, "candidate": {"early": {"share": 0.5, "by": "20s"}}},
    ],
    ids=["plain", "all stages, older connections stay", "defects", "brake"],
)
def test_skipped_and_full_simulations_agree(seed: int, keys: dict[str, Any]) -> None:
    fleet = {
        "users": 8,
        "days": 0.2,
        "seed": seed,
        "clients": {"phone": PHONE, "app": APP},
        "server": STORMY,
    }
    one = scenario(**{**fleet, **keys})

    skipped, full = records(one), records(one, skip=False)

    assert len(full.verdicts) > 50
    assert skipped.sorted_verdicts() == full.sorted_verdicts()
    assert skipped.sorted_outcomes() == full.sorted_outcomes()


def test_coverage_is_the_same_by_arithmetic() -> None:
    one = scenario(users=15, days=0.5)

    skipped, full = records(one).coverages, records(one, skip=False).coverages

    for name in ("connected", "control_acted", "candidate_acted", "control_users"):
        assert sum(getattr(c, name) for c in skipped) == pytest.approx(
            sum(getattr(c, name) for c in full), rel=1e-9
        )
    for name in ("watched", "pings"):
        assert sum(getattr(c, name) for c in skipped) == pytest.approx(
            sum(getattr(c, name) for c in full), rel=0.005
        )


class Counting(SimulationRecorder):
    """Counts the signs of life that took place."""

    def __init__(self) -> None:
        self.signs_of_life = 0

    def heard(self, connection: SimulatedConnection, pong: bool, now: Time) -> None:
        self.signs_of_life += 1


def _signs_of_life(one: Scenario, *, skip: bool) -> int:
    counting = Counting()
    for _ in Simulation(one, Observer(), counting, skip=skip).run():
        pass
    return counting.signs_of_life


def test_most_of_a_healthy_day_is_left_out() -> None:
    rare = {"per_day": 0.2, "duration": {"median": "90s"}}
    one = scenario(users=20, clients={"app": {"freezes": rare}})
    assert 0 < _signs_of_life(one, skip=True) < _signs_of_life(one, skip=False) / 50


def test_a_candidate_that_never_pings_leaves_nothing_out_where_it_acts() -> None:
    one = scenario(
        users=4,
        days=0.02,
        clients={"app": {}},
        candidate={"pings": False},
        rollout={"holdback": 0, "percent": {"live": 100}},
    )

    told = records(one)

    # Idle clients are closed every 45 s, and 1001 brings most of them back at once.
    assert len(told.verdicts) > 20
    assert {verdict.kind for verdict in told.verdicts} <= {
        VerdictKind.BOTH,
        VerdictKind.SHUTDOWN,
    }
    assert all(
        verdict.candidate_at is None or verdict.candidate_at - verdict.last_activity == 45 * SECOND
        for verdict in told.verdicts
    )
    assert sum(coverage.pings for coverage in told.coverages) == 0
