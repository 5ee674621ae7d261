"""Simulation: the real router and monitors in virtual time, with simulated clients, to plan and to test."""
