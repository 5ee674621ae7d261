"""R1: which pings a decision of the legacy monitor names, and how many the monitor remembers."""

import pickle

from shim.model import Connection, Decision, Kind
from shim_legacy_global import LegacyGlobalMonitor, LegacySettings


def test_r1_a_decision_names_each_ping_of_its_silence_however_many_there_were() -> None:
    machine = LegacyGlobalMonitor(LegacySettings(heartbeat_interval=2, timeout=40), 0)
    machine.register(Connection("c1", Kind.GLASSES, "u1", "s1", None), 0, 0)
    sweeps = range(2, 43, 2)
    requests = [request for now in sweeps for request in machine.wake(now)]
    (decision,) = [request for request in requests if isinstance(request, Decision)]
    assert (decision.at, decision.pings) == (42, tuple(sweeps))


def test_the_monitor_remembers_the_pings_of_one_silence_only() -> None:
    start = 10**12
    machine = LegacyGlobalMonitor(LegacySettings(heartbeat_interval=2, timeout=40), start)
    sizes = []
    for sweep in range(1, 100):
        machine.wake(start + 2 * sweep)
        sizes.append(len(pickle.dumps(machine)))
    # Twenty sweeps, one that is late, and those at both ends.
    assert len(set(sizes[23:])) == 1
