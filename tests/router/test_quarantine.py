"""R5: failures about no connection and slow calls are strikes; three strikes quarantine a plugin."""

from collections.abc import Callable
from typing import Any

import pytest

from shim.model import Connection, Kind, Stage, VerdictKind
from shim.router.role_monitors import RoleMonitors
from shim.router.validation import CallFailed
from shim_legacy_global import LegacyGlobal
from shim_per_session import PerSessionSettings
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


def test_r5_a_monitor_that_cannot_be_made_for_a_connection_is_a_strike() -> None:
    candidate = FaultyType()
    world = World(candidate=candidate)
    candidate.faults["create"] = raises(ValueError("no"))
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    for strikes, stage in ((1, Stage.LIVE), (2, Stage.LIVE), (3, Stage.SHADOW)):
        tracked = world.open(f"c{strikes}", Stage.LIVE, act=False)
        assert monitors.strikes == strikes
        assert monitors.quarantined is (strikes == 3)
        assert tracked.stage is stage


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


def test_r5_the_third_failure_in_a_pause_is_the_last_call() -> None:
    """Of two monitors that fail in each pause, the second is not told of the last one."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    for number in range(2):
        world.open(f"c{number}", Stage.SHADOW, session=f"s{number}")
    called: list[bool] = []

    def fault(real: Callable[[], Any]) -> Any:
        called.append(monitors.quarantined)
        raise ValueError("no")

    candidate.faults["paused"] = fault
    for _ in range(2):
        world.router.paused(world.now, world.now + 1)
    assert monitors.quarantined
    assert called
    assert True not in called


def test_r5_a_quarantine_leaves_episodes_alone_in_which_the_candidate_has_decided() -> None:
    """The candidate closes `c1` and fails about `c2` afterwards; the control decides on `c1`, too."""
    candidate = FaultyType()
    world = World(candidate=candidate)
    world.open("c1", Stage.LIVE)
    world.run(46)
    world.open("c2", Stage.SHADOW, user="u2", session="s2")
    candidate.faults["paused"] = raises(ValueError("no"))
    for _ in range(3):
        world.router.paused(world.now, world.now + 1)
    monitors = world.router.monitors(CANDIDATE)
    assert monitors is not None
    assert monitors.quarantined
    world.run(61)
    (verdict,) = world.journal.verdicts
    assert (verdict.connection.id, verdict.kind, verdict.at) == ("c1", VerdictKind.BOTH, 60 * S)


class SlowMeter:
    """Says that every call took 1.5 s, while `slow`."""

    started = False

    def __init__(self, *, slow: bool = False) -> None:
        self.slow = slow

    def start(self) -> None:
        self.started = True

    def over_limit(self) -> int | None:
        assert self.started, "nothing is measured before it begins"
        self.started = False
        return 1_500_000 if self.slow else None


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
    assert world.journal.failures[0].reason == "took 1500 ms of CPU"
    assert world.watched_by("c1") == {CONTROL}
    candidate.calls.clear()
    world.run(200)
    assert candidate.calls == []
    assert world.ports["c1"].endings == [(60 * S, "terminate")]


def test_r5_the_next_step_quarantines_whatever_is_due() -> None:
    meter = SlowMeter(slow=True)
    world = World(meter=meter)
    world.open("c1", Stage.SHADOW)
    for _ in range(2):
        world.pong("c1")
    assert len(world.journal.failures) >= 3
    world.router.step(world.now)
    assert world.journal.failures[-1].call == "quarantine"
    assert world.watched_by("c1") == {CONTROL}


def test_r5_a_slow_call_is_told_with_its_time_in_virtual_time_too() -> None:
    meter = SlowMeter()
    world = World(meter=meter)
    world.open("c1", Stage.SHADOW)
    world.run(1)
    meter.slow = True
    due = world.router.next_wake
    world.router.advance(15 * S)
    assert [(one.call, one.at) for one in world.journal.failures] == [("wake", due)]


def test_r5_a_monitor_that_is_slow_from_the_beginning_is_told_and_runs() -> None:
    world = World(candidate=LegacyGlobal(), meter=SlowMeter(slow=True))
    assert [(one.call, one.at) for one in world.journal.failures] == [("create", 0)]
    world.open("c1", Stage.SHADOW)
    assert world.watched_by("c1") == {CONTROL, CANDIDATE}


def test_r5_a_sole_monitor_is_told_to_be_slow_and_goes_on() -> None:
    """However often in one instant: there is no other monitor."""
    world = World(retired=True, meter=SlowMeter(slow=True))
    world.run(3)
    for number in range(5):
        world.open(f"c{number}", Stage.COMPLETE)
        assert world.watched_by(f"c{number}") == {CANDIDATE}
    told = [(one.role, one.call, one.at) for one in world.journal.failures]
    assert told == [(CANDIDATE, call, 3 * S) for call in ("create", *["register"] * 5)]


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


def test_r5_a_quarantined_plugin_is_asked_to_watch_nothing() -> None:
    plugin = FaultyType()
    monitors = RoleMonitors(CANDIDATE, plugin, PerSessionSettings(), 0)
    monitors.quarantine()
    with pytest.raises(CallFailed, match="failed too often"):
        monitors.register(Connection("c1", Kind.APP, "u", "s", "p"), 0, 0)
    assert plugin.calls == []


@pytest.mark.parametrize("retired", [False, True])
def test_r4_nobody_is_quarantined_whom_nobody_could_replace(retired: bool) -> None:
    """However often the control, or the sole monitor, fails in one instant."""
    broken = FaultyType(None if retired else LegacyGlobal())
    world = World(candidate=broken, retired=True) if retired else World(control=broken)
    for number in range(5):
        world.open(f"c{number}", Stage.OFF, session=f"s{number}")
    for call in ("wake", "next_wake", "pong"):
        broken.faults[call] = raises(ValueError("no"))
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
