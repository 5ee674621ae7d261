"""R5: failures about no connection and slow calls are strikes; three strikes quarantine a plugin."""

import pytest

from shim.model import Stage, VerdictKind
from shim_legacy_global import LegacyGlobal
from tests.router.faulty_monitor import FaultyType, raises
from tests.router.helpers import CANDIDATE, CONTROL, S, World


def test_r5_an_error_about_one_connection_is_one_verdict_and_no_strike() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    for id in ("c1", "c2", "c3", "c4", "c5"):
        world.open(id, Stage.SHADOW)
    candidate.faults["pong"] = raises(ValueError("no"))
    for id in ("c1", "c2", "c3", "c4", "c5"):
        world.pong(id)
        world.pong(id)  # it is not asked again
    assert [(v.connection.id, v.kind) for v in world.journal.verdicts] == [
        (id, VerdictKind.ERROR) for id in ("c1", "c2", "c3", "c4", "c5")
    ]
    failures = world.journal.failures
    assert [(f.call, f.connection and f.connection.id) for f in failures] == [
        ("pong", id) for id in ("c1", "c2", "c3", "c4", "c5")
    ]
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert (monitors.strikes, monitors.quarantined) == (0, False)
    assert all(world.watched_by(id) == {CONTROL} for id in world.ports)


def test_r5_three_exceptions_about_no_connection_quarantine() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.SHADOW)
    candidate.faults["paused"] = raises(ValueError("no"))
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    for strike in (1, 2):
        world.router.paused(world.now, world.now + 1)
        assert (monitors.strikes, monitors.quarantined) == (strike, False)
        assert world.watched_by("c1") == {CONTROL, CANDIDATE}  # by a fresh instance
        assert len(candidate.made) == strike + 1
    world.router.paused(world.now, world.now + 1)
    assert monitors.quarantined
    assert world.watched_by("c1") == {CONTROL}
    candidate.calls.clear()
    world.open("c2", Stage.LIVE)
    assert world.tracked["c2"].stage is Stage.SHADOW  # it may not act any more
    a = world.tracked["c2"]
    assert (a.acting, world.watched_by("c2")) == (CONTROL, {CONTROL})
    world.run(500)
    assert candidate.calls == []
    assert [f.call for f in world.journal.failures] == ["paused", "paused", "paused", "quarantine"]
    assert world.journal.brakes == []


class SlowMeter:
    """Says that every call took 60 ms, while `slow`."""

    slow = False
    started = False

    def start(self) -> None:
        self.started = True

    def over_limit(self) -> int | None:
        assert self.started, "nothing is measured before it begins"
        self.started = False
        return 60_000 if self.slow else None


def test_r5_three_slow_calls_quarantine_and_their_answers_stand() -> None:
    meter = SlowMeter()
    candidate = FaultyType()
    world = World(candidate=candidate, meter=meter)
    world.open("c1", Stage.SHADOW)
    meter.slow = True
    world.pong("c1")
    world.pong("c1")
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert (monitors.strikes, monitors.quarantined) == (2, False)
    assert world.journal.verdicts == []
    world.run(20)
    assert monitors.quarantined
    assert {f.call for f in world.journal.failures} >= {"pong", "quarantine"}
    assert world.journal.failures[0].reason == "took 60 ms of CPU"
    assert world.watched_by("c1") == {CONTROL}
    candidate.calls.clear()
    world.run(200)
    assert candidate.calls == []
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r5_a_quarantined_plugin_is_never_called_again() -> None:
    meter = SlowMeter()
    candidate = FaultyType()
    world = World(candidate=candidate, meter=meter)
    world.open("c1", Stage.SHADOW)
    world.open("c2", Stage.SHADOW)
    world.run_before(44)
    world.message("c2")
    meter.slow = True
    for _ in range(3):
        world.pong("c2")
    meter.slow = False
    candidate.faults["confirmed"] = raises(ValueError("no"))
    world.run(45)  # the confirm for c1 fails, three strikes are there
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert monitors.quarantined
    candidate.calls.clear()
    world.run(300)
    assert candidate.calls == []


@pytest.mark.parametrize("retired", [False, True])
def test_r4_nobody_is_quarantined_whom_nobody_could_replace(retired: bool) -> None:
    """However often the control, or the sole monitor, fails in one instant."""
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    for number in range(5):
        world.open(f"c{number}", Stage.OFF, session=f"s{number}")
    broken.faults["wake"] = broken.faults["pong"] = raises(ValueError("no"))
    for number in range(5):
        world.pong(f"c{number}")
    world.run(20)
    broken.faults.clear()
    sole = world.router.monitors(CANDIDATE if retired else CONTROL)
    assert sole is not None
    assert not sole.quarantined
    world.run(21)
    for number in range(5):
        world.message(f"c{number}")
    assert world.unwatched() == []
