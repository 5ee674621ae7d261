"""R1: with very many connections, the legacy monitor looks at them in parts before the sweep."""

import pytest

from shim.model import Time
from shim_legacy_global import LegacyGlobalMonitor, LegacySettings
from tests.monitors.legacy_calls import S, connection, decided, register, wake


def crowd(count: int, last_seen: Time = 0) -> LegacyGlobalMonitor:
    """A monitor that looks at ten connections in one go, with so many of them."""
    machine = LegacyGlobalMonitor(LegacySettings(), 0, at_once=10)
    for number in range(count):
        register(machine, connection(f"c{number}"), 0, last_seen)
    return machine


def look_until(machine: LegacyGlobalMonitor, sweep: Time) -> int:
    """Wake the monitor whenever it asks for it before the sweep; how often that was."""
    looks = 0
    while (due := machine.next_wake) is not None and due < sweep:
        assert wake(machine, due) == []
        looks += 1
    return looks


def test_r1_each_look_between_two_sweeps_is_later_than_the_one_before() -> None:
    """Also where there are more parts than microseconds between the sweeps."""
    machine = LegacyGlobalMonitor(LegacySettings(10, 30), 0, at_once=1)
    for number in range(100):
        register(machine, connection(f"c{number}"), 0, 0)
    for now in range(10, 20):
        wake(machine, now)
        assert machine.next_wake == now + 1


@pytest.mark.parametrize("sweep", [45 * S, 46 * S])
def test_r1_a_sweep_over_very_many_looks_at_those_that_were_silent_for_long(sweep: Time) -> None:
    """The others were looked at before, in parts, while the event loop had its turns in between."""
    machine = LegacyGlobalMonitor(LegacySettings(), 0, at_once=10)
    pulses = [register(machine, connection(f"c{number}"), 0, 0) for number in range(100)]
    wake(machine, 15 * S)
    for pulse in pulses[1:]:
        pulse.last_seen = 16 * S
    assert look_until(machine, 30 * S) == 10
    assert wake(machine, 30 * S)[1:] == []
    looked_at: set[Time] = set()

    class Seen(int):
        def __lt__(self, other: Time) -> bool:
            looked_at.add(int(self))
            return int(self) < other

    look_until(machine, 45 * S)
    for number, pulse in enumerate(pulses[1:]):
        pulse.last_seen = Seen(16 * S + number)
    pulses[0].last_seen = Seen(-1)
    assert decided(wake(machine, sweep)) == ["c0"]
    assert looked_at == {-1}
    wake(machine, 60 * S + 2 * S)  # too late for what was found before: everybody is looked at
    assert len(looked_at) == 100


def test_r1_a_sweep_that_comes_before_all_were_looked_at_looks_at_every_connection() -> None:
    """Nobody woke the machine between the sweeps, and the sweep is not late."""
    machine = crowd(100, -5 * S)
    wake(machine, 15 * S)
    wake(machine, 30 * S)
    assert len(decided(wake(machine, 45 * S))) == 100


def test_r1_a_long_silent_connection_that_is_registered_between_two_sweeps_times_out() -> None:
    """A takeover: the sweep has looked at the others already."""
    machine = crowd(11)
    wake(machine, 15 * S)
    register(machine, connection("taken over"), 16 * S, -20 * S)
    register(machine, connection("not silent for longer than that"), 16 * S, -15 * S)
    look_until(machine, 30 * S)
    assert decided(wake(machine, 30 * S)) == ["taken over"]


def test_r1_where_a_sweep_may_look_at_all_nothing_happens_between_the_sweeps() -> None:
    for count, due in ((10, 30 * S), (11, 20 * S)):
        machine = crowd(count)
        wake(machine, 15 * S)
        assert machine.next_wake == due


def test_r1_a_late_sweep_looks_at_those_that_were_not_silent_enough_before() -> None:
    machine = crowd(10)
    register(machine, connection("silent"), 0, -12 * S)
    wake(machine, 15 * S)
    look_until(machine, 30 * S)
    assert decided(wake(machine, 35 * S)) == ["silent"]


def test_r1_a_wake_before_the_next_look_looks_at_nothing() -> None:
    machine = crowd(11)
    wake(machine, 15 * S)
    assert machine.next_wake == 20 * S
    wake(machine, 17 * S)
    assert machine.next_wake == 20 * S


def test_r1_where_few_are_left_the_looks_end_with_the_sweep() -> None:
    machine = crowd(11)
    wake(machine, 15 * S)
    machine.unregister("c0", 16 * S)
    wake(machine, 30 * S)
    assert machine.next_wake == 45 * S
