"""A few of the fleets and months of which the README has figures: one run each, always the same one."""

import pytest

from benchmarks.brake_simulation import MINUTE, Cuts, Kills
from benchmarks.gate_simulation import ask


@pytest.mark.parametrize(
    ("fleet", "ready", "not_ready"),
    [
        ("perfect, 1 000 users, day 8", 8, None),
        ("the candidate never pings", None, 8),
        ("8 stalls, each wrong about 30 % of all users", None, 8),
        ("60 users", None, None),
    ],
)
def test_the_gate_asked_each_day(fleet: str, ready: int | None, not_ready: int | None) -> None:
    found = ask(fleet, seed=0)
    assert (found.ready, found.not_ready) == (ready, not_ready)


@pytest.mark.parametrize("share", [0.09, 1.0])
def test_a_cut_of_the_network_does_not_engage_the_brake(share: float) -> None:
    """In 40 s the candidate decides on some of the connections, and the control not yet on all of these."""
    assert Cuts(share, seconds=(40,)).run(seed=0) is None


def test_false_kills_engage_the_brake() -> None:
    delay = Kills(0.3, days=1).run(seed=0)
    assert delay is not None
    assert delay < 10 * MINUTE
    assert Kills(0.008, days=2).run(seed=0) is None
