"""Simulation: the real router and monitors in virtual time, with simulated clients, to plan and to test."""

from shim.simulate.engine import Simulation
from shim.simulate.run import SimulationRun
from shim.simulate.scenario import Scenario, load_scenario

__all__ = ["Scenario", "Simulation", "SimulationRun", "load_scenario"]
