"""Small scenarios, and everything that a simulation tells."""

from pathlib import Path
from typing import Any

from shim.model import Coverage, Outcome, Verdict
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.router import Observer, handles
from shim.settings.monitors import Surroundings
from shim.simulate.recording import SimulationRecorder
from shim.simulate.scenario import Scenario
from shim.simulate.simulation import Simulation

TYPES = monitor_types(plugin_manager())
EXAMPLES = Path(__file__).parents[2] / "config" / "simulations"

SDK = [{"after": [1000, 1001, 1008], "probability": 0.0}, {"delay": "1s", "jitter": "200ms"}]
GONE = {"per_day": 4.0, "duration": {"table": {"75s": 0.5, "2m": 0.5}}}


def scenario(**keys: Any) -> Scenario:
    """A scenario from the keys of a simulation file; apps that are gone now and then, if nothing else."""
    given = {"users": 20, "days": 0.5, "brake": False, "clients": {"app": {"freezes": GONE}}}
    return Scenario.model_validate({**given, **keys}, context=Surroundings(TYPES))


class Records(Observer):
    """Verdicts, outcomes and coverage, comparable between simulations."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.outcomes: list[Outcome] = []
        self.coverages: list[Coverage] = []

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        verdict.order = 0  # it counts what the router was told of
        self.verdicts.append(verdict)

    @handles(Outcome)
    def _outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    @handles(Coverage)
    def _coverage(self, coverage: Coverage) -> None:
        self.coverages.append(coverage)

    def sorted_verdicts(self) -> list[Verdict]:
        return sorted(self.verdicts, key=lambda one: (one.at, one.connection.id))

    def sorted_outcomes(self) -> list[Outcome]:
        return sorted(self.outcomes, key=lambda one: (one.at, one.connection.id))


def records(scenario: Scenario, *, skip: bool = True) -> Records:
    """Simulate to the end."""
    told = Records()
    for _ in Simulation(scenario, told, SimulationRecorder(), skip=skip).run():
        pass
    return told
