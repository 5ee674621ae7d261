"""Simulation: the real router and monitors in virtual time, with simulated clients, to plan and to test."""

from shim.simulate.scenario import Scenario, load_scenario
from shim.simulate.simulation import Simulation
from shim.simulate.simulation_run import SimulationRun

__all__ = ["Scenario", "Simulation", "SimulationRun", "load_scenario"]
